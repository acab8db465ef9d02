"""Random crops and zooms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data.augmentations.resized_crop import RandomResizedCrop, ScaleCrop

SIZE = (20, 30)
KEYS = jax.random.split(jax.random.key(0), 2000)


def boxes(step, size=SIZE):
    return np.asarray(jax.jit(jax.vmap(lambda key: step.box(key, size)))(KEYS))


def test_crops_are_those_of_torchvision():
    top, left, height, width = boxes(RandomResizedCrop()).T
    assert (np.stack([top, left, height, width]) % 1 == 0).all()
    assert min(top.min(), left.min()) == 0 and min(height.min(), width.min()) >= 1
    assert (top + height).max() == 20 and (left + width).max() == 30
    aspect = width / height
    assert 0.6 < aspect.min() < 0.85 and 1.2 < aspect.max() < 1.5
    area = height * width / 600
    assert 0.05 < area.min() < 0.1 and 0.8 < area.max() <= 1


@pytest.mark.parametrize(
    ("size", "aspect", "box"),
    [
        ((20, 30), (0.75, 4 / 3), (0, 1, 20, 27)),  # too wide
        ((30, 10), (0.75, 4 / 3), (8, 0, 13, 10)),  # too high
        ((20, 30), (1.5, 1.5), (0, 0, 20, 30)),
    ],
)
def test_the_largest_central_crop_where_none_fits(size, aspect, box):
    found = boxes(RandomResizedCrop(area=(1.0, 1.0), aspect=aspect), size)
    np.testing.assert_array_equal(found, np.broadcast_to(np.float32(box), found.shape))


def test_zooms_crop_what_is_larger_and_pad_what_is_smaller():
    top, left, height, width = boxes(ScaleCrop()).T
    scale = 20 / height
    assert scale.min() == pytest.approx(0.5, abs=0.03)
    assert scale.max() == pytest.approx(2, abs=0.03)
    np.testing.assert_allclose(30 / width, scale, atol=0.05)
    larger = scale >= 1
    assert (top[larger] >= 0).all() and (top + height)[larger].max() < 20.001
    assert (left[~larger] <= 0).all() and (left + width)[~larger].min() > 29.999
    # Whole pixels of the resized image.
    places = left * 30 / width
    np.testing.assert_allclose(places, np.round(places), atol=1e-3)


@pytest.mark.parametrize("step", [RandomResizedCrop(area=(0.3, 0.6)), ScaleCrop()])
def test_points_and_masks_go_where_their_pixels_go(step):
    image = jnp.zeros((*SIZE, 1), jnp.uint8).at[8:14, 10:21].set(200)
    corners = jnp.array([[8.0, 10.0], [14.0, 21.0]])

    @jax.jit
    @jax.vmap
    def moved(key):
        mask = step.moved(key, image, outside=255, nearest=True)
        return step.image(key, image), mask, step.points(key, corners, size=SIZE)

    for after, mask, (first, last) in zip(*moved(KEYS[:40]), strict=True):
        rows, columns = np.nonzero(np.asarray(mask)[..., 0] == 200)
        seen = [[rows.min(), columns.min()], [rows.max() + 1, columns.max() + 1]]
        expected = np.clip(np.stack([first, last]), 0, SIZE)
        np.testing.assert_allclose(seen, expected, atol=0.51)
        known = np.asarray(mask) != 255
        assert ((np.asarray(after) > 100) == (np.asarray(mask) == 200))[
            known
        ].mean() > 0.9
        assert not np.asarray(after)[~known].any()


def test_larger_pictures_move_alike():
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 1), np.uint8)
    large = image.repeat(2, 0).repeat(2, 1)
    step = ScaleCrop()
    move = jax.jit(
        lambda key, x, factor: step.moved(key, x, factor=factor, nearest=True),
        static_argnums=2,
    )
    for key in KEYS[:4]:
        small, found = move(key, image, 1), move(key, large, 2)
        parts = [found[i::2, j::2] for i in range(2) for j in range(2)]
        # The place of a pixel lies between the places of its four parts.
        assert np.any([part == small for part in parts], axis=0).all()


def test_wrong_options():
    with pytest.raises(UserError, match="unknown interpolation 'nearest'"):
        RandomResizedCrop(interpolation="nearest")
    with pytest.raises(UserError, match=r"scale=\(2.0, 1.0\) must be"):
        ScaleCrop(scale=(2.0, 1.0))
