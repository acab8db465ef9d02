"""Properties that all augmentations share, also users' augmentations."""

import importlib

import jax
import numpy as np
import pytest

from cnn_jax.core import fit, imports
from cnn_jax.core.errors import UserError
from cnn_jax.core.fit import Part
from cnn_jax.core.keys import REQUIRED, keywords
from cnn_jax.data import augment, augmentations, labels
from cnn_jax.data.augmentations.augmentation import Movement
from cnn_jax.data.augmentations.augmix import AugMix
from cnn_jax.data.augmentations.flip import Flip
from cnn_jax.data.augmentations.mixing import Mixing
from cnn_jax.data.augmentations.policies import Policy
from cnn_jax.data.labels.kind import LabelKind

# Values of the options without a default.
NEEDED = {"degrees": 10.0}
OURS = {
    name: kind(**{k: NEEDED[k] for k, v in keywords(kind).items() if v[1] is REQUIRED})
    for name, kind in augmentations.AUGMENTATIONS.items()
}
A_USERS = """
from dataclasses import dataclass
import jax, jax.numpy as jnp
from cnn_jax.core.ranges import Share
from cnn_jax.data.augmentations.augmentation import Augmentation

@dataclass(frozen=True, kw_only=True)
class Invert(Augmentation):
    probability: Share = 1.0

    def image(self, key, image):
        inverted = jax.random.bernoulli(key, self.probability)
        return jnp.where(inverted, 255 - image, image)
"""


@pytest.fixture
def outside(tmp_path):
    """A module of a user's, with an augmentation."""
    (tmp_path / "a_user.py").write_text(A_USERS)
    imports.add(tmp_path)
    return importlib.import_module("a_user")


@pytest.mark.parametrize("ours", OURS.values(), ids=OURS)
def test_ours_are_hashable_and_know_their_names(ours):
    assert hash(ours) == hash(ours)
    assert augmentations.AUGMENTATIONS[ours.name()] is type(ours)


@pytest.mark.parametrize("ours", OURS.values(), ids=OURS)
@pytest.mark.parametrize("labeled", labels.KINDS.values(), ids=labels.KINDS)
def test_what_can_follow_an_image(ours, labeled):
    moves = isinstance(ours, Movement)
    able = labeled.movable if moves else labeled.recolorable
    if isinstance(ours, Policy | AugMix):  # moves pixels, and changes their values
        able = labeled.movable and labeled.recolorable
    if isinstance(ours, AugMix):
        able = able and not labeled.positioned
    if isinstance(ours, Mixing):
        able = labeled.mixable
    assert ours.takes(labeled) == able
    assert len(ours.moves(jax.random.key(0), (4, 6))) == moves


def test_labels_of_a_users_kind_follow():
    """Data and augmentation know the kind by its import path alone."""

    class Number(LabelKind):
        described = "one number per image"

    data = Part("data", {"label kind": "nets.NUMBER", "mirrorable": True})
    fit.check([data, Flip().part(Number())])


def test_one_from_outside_changes_images(outside):
    made = augment.make(("a_user.Invert",), "pixels")
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
    batch = {"image": images, "label": images[..., 0]}
    batch |= {key: np.arange(3, dtype=np.int32) for key in ("index", "epoch")}
    found = jax.jit(made.__call__)(jax.random.key(0), batch)
    np.testing.assert_array_equal(found["image"], 255 - images)
    np.testing.assert_array_equal(found["label"], images[..., 0])


def test_every_augmentation_draws_for_itself(outside):
    example = jax.random.key(3)
    every = (*OURS.values(), outside.Invert())
    keys = [jax.random.key_data(each.key(example)).tolist() for each in every]
    assert len({tuple(key) for key in keys}) == len(every)


@pytest.mark.parametrize(
    ("entry", "labeled", "message"),
    [
        (
            "color_jitter",
            "picture",
            "^augmentation 'color_jitter' changes images but not their labels, and "
            r"digits has .*: take 'color_jitter' out of config\.data\.augmentations\.$",
        ),
        ("color_jitter", "style", "^augmentation 'color_jitter' changes images"),
        ("flip", "style", "take 'flip' out of"),
        ("crop(padding=1)", "style", "take 'crop' out of"),
        (
            "a_user.Invert",
            "picture",
            r"^augmentation 'a_user\.Invert' .* take 'a_user\.Invert' out of",
        ),
    ],
)
def test_labels_that_cannot_follow(entry, labeled, message, outside):
    def check(kind):
        data = Part("digits", {"label kind": kind, "shorter side": 8})
        fit.check([data, *augment.make((entry,), kind).parts()])

    check("class")
    with pytest.raises(UserError, match=message):
        check(labeled)
