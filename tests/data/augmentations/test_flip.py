"""A mirror image."""

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.data.augmentations.flip import Flip


def test_points_go_where_their_pixels_go():
    flip = Flip()
    image = jnp.arange(12, dtype=jnp.uint8).reshape(3, 4, 1)
    corner = jnp.array([[1.0, 0.5]])  # the middle of a pixel's upper edge
    for seed in range(8):
        key = jax.random.key(seed)
        moved = flip.moved(key, image)
        (row, column), *_ = np.asarray(flip.points(key, corner, size=(3, 4)))
        assert moved[int(row), int(column), 0] == image[1, 0, 0]
