"""The operations of policies, beside torchvision's functions on Pillow's images."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from cnn_jax.data.augmentations.operations import NUMBERS, OPERATIONS, Change

SMOOTH = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
IMAGE = np.asarray(Image.fromarray(SMOOTH).resize((23, 18), Image.Resampling.BICUBIC))


@jax.jit
def applied(number, magnitude, image):
    return Change(number, magnitude).applied(image)


def affine(image, *numbers):
    return image.transform(image.size, Image.Transform.AFFINE, numbers)


def enhanced(kind):
    return lambda image, magnitude: kind(image).enhance(1 + magnitude)


# As `_apply_op` of torchvision has them.
PILLOWS = {
    "identity": lambda image, m: image,
    "shear_x": lambda image, m: affine(image, 1, m, 0, 0, 1, 0),
    "shear_y": lambda image, m: affine(image, 1, 0, 0, m, 1, 0),
    "translate_x": lambda image, m: affine(image, 1, 0, -math.trunc(m), 0, 1, 0),
    "translate_y": lambda image, m: affine(image, 1, 0, 0, 0, 1, -math.trunc(m)),
    "rotate": lambda image, m: image.rotate(m),
    "brightness": enhanced(ImageEnhance.Brightness),
    "color": enhanced(ImageEnhance.Color),
    "contrast": enhanced(ImageEnhance.Contrast),
    "sharpness": enhanced(ImageEnhance.Sharpness),
    "posterize": lambda image, m: ImageOps.posterize(image, int(m)),
    "solarize": lambda image, m: ImageOps.solarize(image, m),
    "auto_contrast": lambda image, m: ImageOps.autocontrast(image),
    "equalize": lambda image, m: ImageOps.equalize(image),
    "invert": lambda image, m: ImageOps.invert(image),
}
MAGNITUDES = {
    "shear_x": (0.09, -0.3, 0.99),
    "shear_y": (0.09, -0.3, 0.99),
    "translate_x": (3.0, -4.9, 32.0),
    "translate_y": (3.0, -4.9, 32.0),
    "rotate": (9.0, -30.0, 135.0),
    "posterize": (8.0, 5.0, 2.0),
    "solarize": (255.0, 178.5, 0.0),
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("gray", [False, True])
def test_every_operation_is_torchvisions(name, gray):
    if gray and name == "color":
        pytest.skip("gray images have no color")
    image = IMAGE[..., :1] if gray else IMAGE
    pillows = Image.fromarray(image[..., 0] if gray else image)
    for magnitude in MAGNITUDES.get(name, (0.27, -0.5, 0.99)):
        found = np.asarray(applied(NUMBERS[name], magnitude, image), int)
        expected = np.asarray(PILLOWS[name](pillows, magnitude), int)
        off = np.abs(found - expected.reshape(found.shape))
        if name in ("shear_x", "shear_y", "rotate"):
            assert (off > 0).any(-1).mean() < 0.02  # between two nearest pixels
        else:
            assert off.max() <= 1 and (off > 0).mean() < 0.05


def test_images_without_three_channels_have_no_color():
    image = IMAGE[..., :1]
    np.testing.assert_array_equal(applied(NUMBERS["color"], -0.9, image), image)


def test_frames_are_changed_alike():
    clip = np.stack([IMAGE, IMAGE])
    for name, magnitude in (("rotate", 20.0), ("equalize", 0.0), ("sharpness", 0.9)):
        found = applied(NUMBERS[name], magnitude, jnp.asarray(clip))
        still = applied(NUMBERS[name], magnitude, jnp.asarray(IMAGE))
        np.testing.assert_array_equal(found[0], found[1])
        if name != "equalize":  # its step is a rounded number of pixels
            np.testing.assert_array_equal(found[0], still)
