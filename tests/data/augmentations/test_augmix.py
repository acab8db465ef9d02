"""Mixtures of chains of operations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data.augmentations.augmix import OVERLAPPING, PARTIAL, SPACE, AugMix
from cnn_jax.data.augmentations.operations import NUMBERS, OPERATIONS
from cnn_jax.data.labels import KINDS

KEYS = jax.random.split(jax.random.key(0), 3000)
SIZE = (30, 60)


def drawn(step, space):
    changes = jax.jit(jax.vmap(lambda key: step.changes(key, SIZE)))(KEYS)
    numbers, magnitudes = jax.device_get(changes)
    names = np.array(OPERATIONS)[np.unique(numbers)]
    assert set(names) - {"identity"} == set(space.operations)
    return numbers, magnitudes


def test_chains_are_torchvisions():
    numbers, magnitudes = drawn(AugMix(), SPACE)
    assert numbers.shape == (3000, 3, 3) and len(SPACE.operations) == 13
    depths = (numbers != NUMBERS["identity"]).sum(2)
    assert set(np.unique(depths)) == {1, 2, 3}
    assert depths.mean() == pytest.approx(2, abs=0.05)
    degrees = np.abs(magnitudes[numbers == NUMBERS["rotate"]])
    expected = [30 * level / 9 for level in range(3)]
    np.testing.assert_allclose(np.unique(degrees.round(3)), expected, atol=1e-3)
    right = np.abs(magnitudes[numbers == NUMBERS["translate_x"]])
    assert right.max() == pytest.approx(20 * 2 / 9)
    assert set(magnitudes[numbers == NUMBERS["posterize"]]) == {4, 3}


def test_a_fixed_depth_and_the_operations_of_the_paper():
    numbers, magnitudes = drawn(
        AugMix(width=2, depth=4, severity=10, all_operations=False), PARTIAL
    )
    assert numbers.shape == (3000, 2, 4) and (numbers != NUMBERS["identity"]).all()
    assert not set(PARTIAL.operations) & set(OVERLAPPING)
    assert set(magnitudes[numbers == NUMBERS["posterize"]]) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("alpha", [1.0, 0.4])
def test_weights_are_distributed_as_in_the_paper(alpha):
    image, chains = jax.jit(jax.vmap(AugMix(alpha=alpha).weights))(KEYS)
    np.testing.assert_allclose(image + chains.sum(1), 1, atol=1e-5)
    assert image.mean() == pytest.approx(0.5, abs=0.02)
    assert image.std() == pytest.approx((8 * alpha + 4) ** -0.5, rel=0.05)
    shares = chains / chains.sum(1, keepdims=True)
    np.testing.assert_allclose(shares.mean(0), 1 / 3, atol=0.02)
    std = (2 / 9 / (3 * alpha + 1)) ** 0.5
    np.testing.assert_allclose(shares.std(0), std, rtol=0.05)


def test_frames_are_mixed_alike():
    step = AugMix(width=2, depth=2)
    frame = np.random.default_rng(0).integers(0, 256, (8, 9, 3), np.uint8)
    mix = jax.jit(jax.vmap(step.image, (0, None)))
    found = np.asarray(mix(KEYS[:16], jnp.stack([frame, frame])))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[:, 0], found[:, 1])
    off = np.abs(found[:, 0] - frame.astype(float)).mean((1, 2, 3))
    assert len(np.unique(off)) > 10 and off.max() < 100


@pytest.mark.parametrize("labeled", KINDS.values(), ids=KINDS)
def test_only_labels_of_whole_images_fit(labeled):
    whole = ("class", "multi_label", "values")
    assert AugMix().takes(labeled) == (labeled.name in whole)


def test_an_unknown_interpolation():
    with pytest.raises(UserError, match="unknown interpolation 'cubic'"):
        AugMix(interpolation="cubic")
