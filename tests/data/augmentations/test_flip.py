"""A mirror image."""

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.data.augment import Augment
from cnn_jax.data.augmentations.flip import AlternatingFlip, Flip


def test_points_go_where_their_pixels_go():
    flip = Flip()
    image = jnp.arange(12, dtype=jnp.uint8).reshape(3, 4, 1)
    corner = jnp.array([[1.0, 0.5]])  # the middle of a pixel's upper edge
    for seed in range(8):
        key = jax.random.key(seed)
        moved = flip.moved(key, image)
        (row, column), *_ = np.asarray(flip.points(key, corner, size=(3, 4)))
        assert moved[int(row), int(column), 0] == image[1, 0, 0]


def test_an_alternating_flip_shows_each_image_both_ways():
    count = 400
    image = np.arange(2, dtype=np.uint8).reshape(1, 1, 2, 1)
    augment = jax.jit(Augment(steps=(AlternatingFlip(),)))

    def mirrored(seed, epoch):
        batch = {
            "image": np.repeat(image, count, axis=0),
            "label": np.zeros(count, np.int32),
            "index": np.arange(count, dtype=np.int32),
            "epoch": np.full(count, epoch, np.int32),
        }
        return (
            np.asarray(augment(jax.random.key(seed), batch)["image"])[:, 0, 0, 0] == 1
        )

    first = mirrored(0, 0)
    np.testing.assert_array_equal(mirrored(0, 1), ~first)
    np.testing.assert_array_equal(mirrored(0, 2), first)
    assert 150 < first.sum() < 250
    assert 150 < (mirrored(1, 0) == first).sum() < 250
