"""What all augmentations keep, those from outside of the package too."""

import importlib

import jax
import numpy as np
import pytest

from cnn_jax.core import fit, imports
from cnn_jax.core.errors import UserError
from cnn_jax.core.fit import Part
from cnn_jax.core.keys import Key
from cnn_jax.core.ranges import Share
from cnn_jax.data import augment, augmentations, labels
from cnn_jax.data.augmentations.augmentation import Movement
from cnn_jax.data.augmentations.flip import Flip
from cnn_jax.data.labels.kind import LabelKind

OFF = {key: value for key, (_, value) in augmentations.options().items()}
A_USERS = """
from dataclasses import dataclass
import jax, jax.numpy as jnp
from cnn_jax.core.ranges import Share
from cnn_jax.data.augmentations.augmentation import Augmentation

number = 3

@dataclass(frozen=True, kw_only=True)
class Invert(Augmentation):
    inverted: Share = 1.0

    def image(self, key, image):
        return jnp.where(jax.random.bernoulli(key, self.inverted), 255 - image, image)

class SameKey(Invert):
    pass
"""


@pytest.fixture
def outside(tmp_path):
    """A module of a user's, with two augmentations."""
    (tmp_path / "a_user.py").write_text(A_USERS)
    imports.add(tmp_path)
    return importlib.import_module("a_user")


@pytest.mark.parametrize("kind", augmentations.BUILT_IN)
def test_ours_are_off_by_default_and_hashable(kind):
    assert not kind().on and hash(kind()) == hash(kind())


@pytest.mark.parametrize("kind", augmentations.BUILT_IN)
@pytest.mark.parametrize("labeled", labels.KINDS.values(), ids=labels.KINDS)
def test_what_can_follow_an_image(kind, labeled):
    moves = issubclass(kind, Movement)
    assert kind().takes(labeled) == (labeled.movable if moves else labeled.recolorable)
    assert len(kind().moves(jax.random.key(0), (4, 6))) == moves


def test_labels_of_a_users_kind_follow():
    """Data and augmentation know the kind by its import path alone."""

    class Number(LabelKind):
        described = "one number per image"

    data = Part("data", {"label kind": "nets.NUMBER", "mirrorable": True})
    fit.check([data, Flip(flip=True).part(Number())])


def test_keys_are_those_of_ours_and_of_those_named(outside):
    assert augmentations.options()["flip"] == Key(bool, False)
    found = augmentations.options(("a_user.Invert",))
    assert found["inverted"] == Key(Share, 1.0)
    assert found.keys() - {"inverted"} == augmentations.options().keys()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["a_user.Invert", "a_user.SameKey"],
            "SameKey has a config key 'inverted', which another",
        ),
        (["a_user.number"], "'a_user.number' is 3; it must be a subclass of"),
        (["a_user.None_"], "augmentation 'a_user.None_': there is no 'None_' in"),
        (["invert"], "unknown augmentation 'invert'"),
    ],
)
def test_names_that_lead_nowhere(names, message, outside):
    with pytest.raises(UserError, match=message):
        augmentations.options(names)


def test_one_from_outside_changes_images(outside):
    named = {"augmentations": ("a_user.Invert",), "inverted": 1.0}
    made = augment.make(OFF | named, "pixels")
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
    batch = {"image": images, "label": images[..., 0]}
    batch |= {key: np.arange(3, dtype=np.int32) for key in ("index", "epoch")}
    found = jax.jit(made.__call__)(jax.random.key(0), batch)
    np.testing.assert_array_equal(found["image"], 255 - images)
    np.testing.assert_array_equal(found["label"], images[..., 0])


def test_every_augmentation_draws_for_itself(outside):
    example = jax.random.key(3)
    kinds = (*augmentations.BUILT_IN, outside.Invert, outside.SameKey)
    keys = [jax.random.key_data(kind().key(example)).tolist() for kind in kinds]
    assert len({tuple(key) for key in keys}) == len(kinds)


@pytest.mark.parametrize(
    ("options", "labeled", "message"),
    [
        (
            {"jitter": 0.5},
            "picture",
            r"^config\.data\.jitter=0\.5 changes images but not their labels, and "
            r"digits has .*: set config\.data\.jitter=0\.0\.$",
        ),
        ({"jitter": 0.5}, "style", r"^config\.data\.jitter=0\.5 changes images"),
        ({"flip": True}, "style", r"set config\.data\.flip=False"),
        ({"crop_padding": 1}, "style", r"set config\.data\.crop_padding=0"),
        (
            {"augmentations": ("a_user.Invert",), "inverted": 1.0},
            "picture",
            r"^augmentation a_user\.Invert .* take it out of config\.data\.augm",
        ),
        (
            {"augmentations": ("a_user.Invert",), "inverted": 0.5},
            "picture",
            r"inverted=0\.5 changes .* set config\.data\.inverted=1\.0",
        ),
    ],
)
def test_labels_that_cannot_follow(options, labeled, message, outside):
    def check(kind):
        data = Part("digits", {"label kind": kind, "shorter side": 8})
        fit.check([data, *augment.make(OFF | options, kind).parts()])

    check("class")
    with pytest.raises(UserError, match=message):
        check(labeled)
