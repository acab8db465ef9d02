"""Random affine maps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data.augmentations.affine import Affine

SIZE = (20, 30)
KEYS = jax.random.split(jax.random.key(0), 1000)


def matrices(**options):
    step = Affine(**options)
    return np.asarray(jax.jit(jax.vmap(lambda key: step.matrix(key, SIZE)))(KEYS))


def test_angles_and_scales_are_uniform():
    linear = matrices(degrees=30.0, scale=(0.5, 2.0))[:, :, :2]
    scale = np.linalg.det(linear) ** -0.5
    assert scale.min() == pytest.approx(0.5, abs=0.02)
    assert scale.max() == pytest.approx(2, abs=0.02)
    assert scale.mean() == pytest.approx(1.25, abs=0.05)
    angles = np.rad2deg(np.arctan2(linear[:, 1, 0], linear[:, 0, 0]))
    assert np.abs(angles).max() <= 30.001 and abs(angles.mean()) < 2
    assert angles.std() == pytest.approx(30 / 3**0.5, rel=0.05)


def test_translations_are_whole_pixels():
    shift = -matrices(degrees=0.0, translate=0.1)[:, :, 2]
    assert set(shift[:, 0]) == {-2, -1, 0, 1, 2}
    assert set(shift[:, 1]) == {-3, -2, -1, 0, 1, 2, 3}


def test_shears_are_parallel_to_the_rows():
    linear = matrices(degrees=0.0, shear=20.0)[:, :, :2]
    np.testing.assert_array_equal(linear[:, 0], [[1, 0]] * 1000)
    assert np.abs(linear[:, 1, 0]).max() == pytest.approx(np.tan(np.pi / 9), rel=0.02)


def test_labels_follow():
    step = Affine(degrees=40.0, translate=0.1, scale=(0.8, 1.2), shear=10.0)
    image = jnp.zeros((*SIZE, 1), jnp.uint8).at[8:12, 13:17].set(255)
    center = jnp.array([[10.0, 15.0]])

    @jax.jit
    @jax.vmap
    def moved(key):
        mask = step.moved(key, image // 255, outside=9, nearest=True)
        return step.image(key, image), mask, step.points(key, center, size=SIZE)

    for after, mask, place in zip(*jax.device_get(moved(KEYS[:20])), strict=True):
        rows, columns, _ = np.nonzero(mask == 1)
        np.testing.assert_allclose(
            [rows.mean(), columns.mean()], place[0] - 0.5, atol=0.7
        )
        assert not after[mask == 9].any()
        assert ((after > 127) == (mask == 1))[mask != 9].mean() > 0.95


def test_wrong_options():
    with pytest.raises(UserError, match="scale="):
        Affine(scale=(1.0,))
