"""Augmentation and normalisation on the device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.data.augment import Augment, normalize

IMAGES = np.random.default_rng(0).integers(0, 256, (64, 6, 5, 3), np.uint8)
KEY = jax.random.key(7)


jitted = jax.jit(lambda augment, *batch: augment(*batch), static_argnums=0)


def augmented(augment, rows, epoch=0, key=KEY):
    rows = np.asarray(rows, np.int32)
    epochs = np.full(len(rows), epoch, np.int32)
    return np.asarray(jitted(augment, key, IMAGES[rows], rows, epochs))


def candidates(image, padding, flip):
    """Every result that is allowed, made with NumPy."""
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    height, width, _ = image.shape
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            shifted = padded[top : top + height, left : left + width]
            yield (top, left, False), shifted
            if flip:
                yield (top, left, True), shifted[:, ::-1]


@pytest.mark.parametrize(
    ("padding", "flip"), [(0, False), (0, True), (2, False), (2, True)]
)
def test_every_example_is_a_shift_and_a_flip_of_itself(padding, flip):
    result = augmented(Augment(padding, flip), range(64))
    assert result.dtype == np.uint8
    drawn = []
    for before, after in zip(IMAGES, result, strict=True):
        found = [
            how
            for how, image in candidates(before, padding, flip)
            if np.array_equal(image, after)
        ]
        assert len(found) == 1
        drawn += found
    tops, lefts, flips = (set(values) for values in zip(*drawn, strict=True))
    assert tops == lefts == set(range(2 * padding + 1))
    assert flips == ({False, True} if flip else {False})


def test_flips_are_fair():
    flip = Augment(flip=True)
    mirrored = [
        np.any(augmented(flip, range(64), epoch) != IMAGES, axis=(1, 2, 3))
        for epoch in range(20)
    ]
    assert 0.45 < np.mean(mirrored) < 0.55
    assert np.mean(mirrored, axis=0).min() > 0.2  # every example, over the epochs


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(64)), st.integers(0, 1000))
def test_an_example_is_treated_the_same_in_any_batch(order, epoch):
    augment = Augment(crop_padding=2, flip=True)
    whole = augmented(augment, range(64), epoch)
    np.testing.assert_array_equal(augmented(augment, order, epoch), whole[order])
    half = order[:32]
    np.testing.assert_array_equal(augmented(augment, half, epoch), whole[half])


def test_epochs_and_keys_differ():
    augment = Augment(crop_padding=2, flip=True)
    first = augmented(augment, range(64))
    assert not np.array_equal(first, augmented(augment, range(64), epoch=1))
    other = augmented(augment, range(64), key=jax.random.key(8))
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_normalize(dtype):
    mean, std = (0.1, 0.5, 0.9), (0.2, 0.25, 0.3)
    result = normalize(jnp.asarray(IMAGES), mean, std, dtype)
    assert result.dtype == dtype
    expected = (IMAGES / 255 - np.array(mean)) / np.array(std)
    tolerance = 1e-5 if dtype == jnp.float32 else 0.02
    np.testing.assert_allclose(result.astype(np.float32), expected, atol=tolerance)
    assert normalize(jnp.asarray(IMAGES), mean, std).dtype == jnp.float32
