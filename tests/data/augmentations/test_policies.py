"""Policies of random operations."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data.augment import Augment
from cnn_jax.data.augmentations.operations import NUMBERS, OPERATIONS, SIGNED
from cnn_jax.data.augmentations.policies import (
    RAND_AUGMENT,
    WIDE,
    RandAugment,
    TrivialAugment,
)
from cnn_jax.data.labels import KINDS
from cnn_jax.data.labels.boxes import BOXES
from cnn_jax.data.labels.pixels import IGNORED

SIZE = (20, 30)
# The largest magnitudes of torchvision's `_AUGMENTATION_SPACE`, for images of 20x30.
LARGEST = {
    "shear_x": (0.3, 0.99),
    "shear_y": (0.3, 0.99),
    "translate_x": (150 / 331 * 30, 32),
    "translate_y": (150 / 331 * 20, 32),
    "rotate": (30, 135),
    "brightness": (0.9, 0.99),
    "color": (0.9, 0.99),
    "contrast": (0.9, 0.99),
    "sharpness": (0.9, 0.99),
    "solarize": (0, 0),
}


@partial(jax.jit, static_argnums=0)
def signed(space, sign, level):
    numbers = jnp.arange(len(OPERATIONS))
    return jax.vmap(lambda n: space.signed(n, sign, level, SIZE).magnitude)(numbers)


def magnitudes(space, level):
    """The positive magnitude of each operation, by name."""
    found, negative = signed(space, 0.7, level), signed(space, 0.3, level)
    signs = np.array([-1 if name in SIGNED else 1 for name in OPERATIONS])
    np.testing.assert_array_equal(negative, found * signs)
    return dict(zip(OPERATIONS, np.asarray(found), strict=True))


@pytest.mark.parametrize("space", [RAND_AUGMENT, WIDE])
def test_magnitudes_are_torchvisions(space):
    assert len(space.operations) == 14
    full, less = magnitudes(space, 1.0), magnitudes(space, 0.3)
    for name, largest in LARGEST.items():
        last = largest[space is WIDE]
        first = 255 if name == "solarize" else 0
        assert full[name] == pytest.approx(last)
        assert less[name] == pytest.approx(first + 0.3 * (last - first), rel=1e-5)
    bits = {0: 8, 3: 8, 4: 7, 9: 7, 15: 6, 30: 4}
    if space is WIDE:
        bits = {0: 8, 3: 7, 7: 7, 8: 6, 15: 5, 30: 2}
    for level, kept in bits.items():
        assert magnitudes(space, level / 30)["posterize"] == kept


def test_operations_and_signs_are_drawn_evenly():
    keys = jax.random.split(jax.random.key(0), 7000)
    drawn = jax.jit(jax.vmap(lambda key: TrivialAugment().changes(key, SIZE)))(keys)
    operations, magnitude = map(np.ravel, jax.device_get(drawn))
    counts = np.bincount(operations, minlength=len(OPERATIONS))
    assert counts[NUMBERS["invert"]] == 0
    assert np.abs(counts[:-1] - 500).max() < 100
    rotations = magnitude[operations == NUMBERS["rotate"]] / 135 * 30
    np.testing.assert_allclose(rotations, np.round(rotations), atol=1e-3)
    assert 0.4 < (rotations < 0).mean() < 0.6 and len(np.unique(rotations)) > 50


@pytest.mark.parametrize("std", [0.0, 5.0])
def test_layers_are_drawn_alone(std):
    policy = RandAugment(layers=3, magnitude=9.0, magnitude_std=std)
    keys = jax.random.split(jax.random.key(0), 1000)
    drawn = jax.jit(jax.vmap(lambda key: policy.changes(key, SIZE)))(keys)
    operations, magnitude = map(np.asarray, jax.device_get(drawn))
    assert operations.shape == (1000, 3)
    assert (operations[:, 0] == operations[:, 1]).mean() < 0.15
    degrees = np.abs(magnitude[operations == NUMBERS["rotate"]])
    assert degrees.mean() == pytest.approx(9, abs=1)
    assert degrees.std() == pytest.approx(std, abs=1) and degrees.max() <= 30


def batch(images, labels):
    numbers = np.arange(len(images), dtype=np.int32)
    return {"image": images, "label": labels, "index": numbers, "epoch": numbers}


def test_labels_follow():
    """Masks and boxes move with the pixels, and pixels from outside have no label."""
    image = np.zeros((*SIZE, 1), np.uint8)
    image[5:14, 8:20] = 200
    images = np.stack([image] * 32)
    masks = (images[..., 0] > 0).astype(np.uint8)
    policy = RandAugment(magnitude=20.0)
    key = jax.random.key(1)
    run = jax.jit(Augment.__call__, static_argnums=0)
    found = jax.device_get(run(Augment("pixels", (policy,)), key, batch(images, masks)))
    outside = found["label"] == IGNORED
    assert outside.any() and set(np.unique(found["label"])) == {0, 1, IGNORED}
    moved = 0
    for after, label, hidden in zip(
        found["image"], found["label"], outside, strict=True
    ):
        inside, around = after[label == 1], after[label == 0]
        moved += hidden.any()
        if inside.size and around.size and not hidden.any():
            assert len(np.unique(inside)) <= 9 and np.median(inside) != around[0]
    assert moved > 5

    box = jnp.array([[2.0, 5, 8, 14, 20]])

    @jax.jit
    @jax.vmap
    def moved_box(number):
        own = policy.drawn(key, number, number)
        return BOXES.moved(box, policy.moves(own, SIZE), SIZE)

    rows_found = np.asarray(moved_box(np.arange(32)))[:, 0]
    for label, row in zip(found["label"], rows_found, strict=True):
        rows, columns = np.nonzero(label == 1)
        if row[0] < 0 or not rows.size:
            continue
        seen = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
        assert np.abs(np.array(seen) - row[1:]).max() <= 2.5


@pytest.mark.parametrize("labeled", KINDS.values(), ids=KINDS)
def test_targets_and_styles_are_refused(labeled):
    taken = TrivialAugment().takes(labeled)
    assert taken == (labeled.name not in ("picture", "style"))


def test_an_unknown_interpolation():
    with pytest.raises(UserError, match="unknown interpolation 'cubic'"):
        RandAugment(interpolation="cubic")
