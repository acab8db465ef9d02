"""Random translations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.core import fit
from cnn_jax.core.errors import UserError
from cnn_jax.core.fit import Part
from cnn_jax.data.augmentations.shift import Shift
from cnn_jax.data.labels import CLASS

IMAGE = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
KEYS = jax.random.split(jax.random.key(0), 60)


@pytest.mark.parametrize("mode", ["reflect", "zero"])
def test_shifts_are_crops_of_the_padded_image(mode):
    step = Shift(pixels=2, mode=mode)
    clip = jnp.stack([IMAGE, IMAGE // 2])

    @jax.jit
    @jax.vmap
    def moved(key):
        return step.shift(key), step.moved(key, clip, outside=5)

    kind = {"mode": "reflect"} if mode == "reflect" else {"constant_values": 5}
    padded = np.pad(clip, ((0, 0), (2, 2), (2, 2), (0, 0)), **kind)
    shifts, found = jax.device_get(moved(KEYS))
    for (down, right), after in zip(shifts, found, strict=True):
        expected = padded[:, 2 - down : 8 - down, 2 - right : 9 - right]
        np.testing.assert_array_equal(after, expected)
    assert set(shifts.ravel()) == {-2, -1, 0, 1, 2}


def test_larger_pictures_and_points_move_alike():
    step = Shift(pixels=3)
    move = jax.jit(lambda key, x, f: step.moved(key, x, factor=f), static_argnums=2)
    for key in KEYS[:8]:
        large = move(key, IMAGE.repeat(2, 0).repeat(2, 1), 2)
        small = move(key, IMAGE, 1)
        np.testing.assert_array_equal(large[::2, 1::2], small)
    places = step.points(KEYS[0], jnp.array([[1.0, 2.0]]), size=(6, 7))
    np.testing.assert_array_equal(places[0] - jnp.array([1, 2]), step.shift(KEYS[0]))


def test_an_image_is_larger_than_its_shift():
    data = Part("digits", {"shorter side": 8, "label kind": "class"})
    fit.check([data, Shift(pixels=7).part(CLASS)])
    with pytest.raises(UserError, match="needs images with more than 8 pixels"):
        fit.check([data, Shift(pixels=8).part(CLASS)])


def test_an_unknown_mode():
    with pytest.raises(UserError, match="unknown mode 'edge'"):
        Shift(mode="edge")
