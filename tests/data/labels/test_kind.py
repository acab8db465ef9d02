"""Properties that all label kinds share, and the defaults for labels of images."""

import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data import labels
from cnn_jax.data.labels.kind import LabelKind, Move

SHAPES = {"class": (), "pixels": (4, 6), "boxes": (7, 5), "picture": (8, 12, 3)}
SHAPES["multi_label"] = SHAPES["values"] = (3,)
IMAGES = {"style": (2, 4, 6, 3)}


@pytest.mark.parametrize("name", labels.KINDS)
def test_random_labels_are_labels_of_the_kind(name):
    kind, shape = labels.find(name), SHAPES.get(name, ())
    found = kind.random(np.random.default_rng(0), (50, *shape), 3)
    assert (found.shape, found.dtype) == ((50, *shape), kind.dtype)
    assert kind.fits(shape, IMAGES.get(name, (4, 6, 3)))
    assert not kind.fits((4, 4, 4, 4), IMAGES.get(name, (4, 6, 3)))
    kind.check_range(found, 3, "train")
    assert kind.described and kind.expected


@pytest.mark.parametrize("name", ["class", "pixels", "boxes"])
def test_classes_out_of_range(name):
    kind, shape = labels.find(name), SHAPES[name]
    found = kind.random(np.random.default_rng(0), (50, *shape), 3)
    with pytest.raises(UserError, match=r"the test split .*to 2(\.0)?; for 2 classes"):
        kind.check_range(found, 2, "test")


def test_a_kind_from_outside():
    path = "cnn_jax.data.labels.pixels.PIXELS"
    assert labels.find(path) is labels.PIXELS
    with pytest.raises(UserError, match=r"must be an instance of .*LabelKind"):
        labels.find("cnn_jax.data.labels.pixels.IGNORED")
    with pytest.raises(UserError, match="unknown label kind 'pixel'"):
        labels.find("pixel")


def test_the_defaults():
    kind = LabelKind()
    assert kind.moved(3, [Move(None, None)], (4, 6)) == 3
    assert kind.shape((4, 6, 3)) is None and kind.movable and kind.recolorable
    kind.check_range(np.array([-7]), 0, "train")
