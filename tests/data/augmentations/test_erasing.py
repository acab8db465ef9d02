"""The erasure of rectangles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data.augmentations.erasing import Cutout, RandomErasing

SIZE = (20, 30)
KEYS = jax.random.split(jax.random.key(0), 1500)


def rectangles(erased):
    """Height and width of each rectangle, after a check that it is one."""
    rows, columns = erased.any(2).sum(1), erased.any(1).sum(1)
    np.testing.assert_array_equal(rows * columns, erased.sum((1, 2)))
    return rows, columns


def test_rectangles_are_those_of_timm():
    erasing = RandomErasing(probability=0.6)
    draw = jax.jit(jax.vmap(lambda key: erasing.rectangle(key, SIZE)))
    heights, widths = rectangles(np.asarray(draw(KEYS)))
    drawn = heights > 0
    assert drawn.mean() == pytest.approx(0.6, abs=0.05)
    heights, widths = heights[drawn], widths[drawn]
    assert (heights < 20).all() and (widths < 30).all()
    area = heights * widths / 600
    # To the rounding of the sides.
    assert 0.01 < area.min() < 0.03 and 0.3 < area.max() < 0.37
    aspect = np.log(heights / widths)
    assert abs(aspect.mean()) < 0.12 and np.abs(aspect).max() < np.log(1 / 0.3) + 0.3


def test_a_rectangle_that_never_fits_is_not_erased():
    erasing = RandomErasing(probability=1.0, area=(1.0, 1.0), aspect=(1.0, 1.0))
    draw = jax.jit(jax.vmap(lambda key: erasing.rectangle(key, SIZE)))
    assert not np.asarray(draw(KEYS)).any()


@pytest.mark.parametrize("fill", ["zero", "noise"])
def test_frames_are_erased_alike(fill):
    erasing = RandomErasing(probability=1.0, fill=fill)
    clip = np.full((3, *SIZE, 2), 7, np.uint8)
    found = np.asarray(jax.jit(erasing.image)(KEYS[0], clip))
    changed = found != 7
    np.testing.assert_array_equal(found, np.broadcast_to(found[:1], found.shape))
    values = found[changed]
    assert values.size and (values.std() > 50 if fill == "noise" else not values.any())


def test_cutouts_are_squares_that_may_leave_the_image():
    cutout = Cutout(size=6)
    image = jnp.full((*SIZE, 1), 9, jnp.uint8)
    found = jax.jit(jax.vmap(cutout.image, (0, None)))(KEYS, image)
    heights, widths = rectangles(np.asarray(found)[..., 0] == 0)
    # The center of a square is in the image: at least its half.
    assert set(heights) == set(widths) == {3, 4, 5, 6}
    assert (heights == 6).mean() == pytest.approx(15 / 20, abs=0.05)
    assert (widths == 6).mean() == pytest.approx(25 / 30, abs=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"fill": "mean"}, "unknown fill 'mean'"), ({"area": (0.5, 0.1)}, "area=")],
)
def test_wrong_options(options, message):
    with pytest.raises(UserError, match=message):
        RandomErasing(**options)
