"""What all augmentations keep, those from outside of the package too."""

import sys
from dataclasses import dataclass
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.core.keys import Key
from cnn_jax.core.ranges import Share
from cnn_jax.data import augment, augmentations, labels
from cnn_jax.data.augmentations.augmentation import Augmentation, Movement

OFF = {key: value for key, (_, value) in augmentations.options().items()}


@dataclass(frozen=True, kw_only=True)
class Invert(Augmentation):
    """Images in negative."""

    inverted: Share = 1.0

    def image(self, key, image):
        return jnp.where(jax.random.bernoulli(key, self.inverted), 255 - image, image)


@dataclass(frozen=True, kw_only=True)
class Other(Invert):
    """With the same key."""


@pytest.fixture
def outside(monkeypatch):
    """A module of a user's, in which the augmentations above are."""
    module = ModuleType("a_user")
    module.Invert, module.Other, module.number = Invert, Other, 3
    monkeypatch.setitem(sys.modules, "a_user", module)


@pytest.mark.parametrize("kind", augmentations.BUILT_IN)
def test_ours_are_off_by_default_and_hashable(kind):
    assert not kind().on and hash(kind()) == hash(kind())


@pytest.mark.parametrize("kind", augmentations.BUILT_IN)
@pytest.mark.parametrize("labeled", labels.KINDS.values(), ids=labels.KINDS)
def test_what_can_follow_an_image(kind, labeled):
    moves = issubclass(kind, Movement)
    assert kind().takes(labeled) == (labeled.movable if moves else labeled.recolorable)
    assert len(kind().moves(jax.random.key(0), (4, 6))) == moves


def test_keys_are_those_of_ours_and_of_those_named(outside):
    assert augmentations.options()["flip"] == Key(bool, False)
    found = augmentations.options(("a_user.Invert",))
    assert found["inverted"] == Key(Share, 1.0)
    assert found.keys() - {"inverted"} == augmentations.options().keys()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a_user.Invert", "a_user.Other"], "Other has a key 'inverted', which is"),
        (["a_user.number"], "'a_user.number' is 3; it must be a subclass of"),
        (["a_user.None_"], "augmentation 'a_user.None_' cannot be imported"),
        (["invert"], "unknown augmentation 'invert'"),
    ],
)
def test_names_that_lead_nowhere(names, message, outside):
    with pytest.raises(UserError, match=message):
        augmentations.options(names)


def test_one_from_outside_changes_images(outside):
    made = augment.make(
        OFF | {"augmentations": ("a_user.Invert",), "inverted": 1.0},
        "pixels",
        (2, 2, 1),
    )
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
    batch = {"image": images, "label": images[..., 0]}
    batch |= {key: np.arange(3, dtype=np.int32) for key in ("index", "epoch")}
    found = jax.jit(made.__call__)(jax.random.key(0), batch)
    np.testing.assert_array_equal(found["image"], 255 - images)
    np.testing.assert_array_equal(found["label"], images[..., 0])


def test_every_augmentation_draws_for_itself():
    example = jax.random.key(3)
    kinds = (*augmentations.BUILT_IN, Invert, Other)
    keys = [jax.random.key_data(kind().key(example)).tolist() for kind in kinds]
    assert len({tuple(key) for key in keys}) == len(kinds)


@pytest.mark.parametrize(
    ("options", "labeled", "message"),
    [
        (
            {"jitter": 0.5},
            "picture",
            "jitter=0.5 is not possible for data with a picture as its target: "
            r"set config\.data\.jitter=0\.0",
        ),
        ({"jitter": 0.5}, "style", r"config\.data\.jitter=0\.5 is not possible"),
        ({"flip": True}, "style", r"set config\.data\.flip=False"),
        ({"crop_padding": 1}, "style", r"set config\.data\.crop_padding=0"),
        (
            {"augmentations": ("a_user.Invert",), "inverted": 1.0},
            "picture",
            r"Invert is not possible .* take it out of config\.data\.augmentations",
        ),
        (
            {"augmentations": ("a_user.Invert",), "inverted": 0.5},
            "picture",
            r"inverted=0\.5 is not possible .* set config\.data\.inverted=1\.0",
        ),
    ],
)
def test_labels_that_cannot_follow(options, labeled, message, outside):
    with pytest.raises(UserError, match=message):
        augment.make(OFF | options, labeled, (2, 8, 8, 3))
