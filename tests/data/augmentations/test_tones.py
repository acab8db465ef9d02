"""Random tables of pixel values."""

import jax
import numpy as np
import pytest
from PIL import Image, ImageOps

from cnn_jax.data.augmentations.tones import (
    AutoContrast,
    Equalize,
    Invert,
    Posterize,
    Solarize,
)

IMAGE = np.random.default_rng(0).integers(20, 220, (40, 30, 3), np.uint8)
KEYS = jax.random.split(jax.random.key(0), 40)


@pytest.mark.parametrize(
    ("kind", "pillows"),
    [
        (Posterize, lambda image: ImageOps.posterize(image, 4)),
        (Solarize, lambda image: ImageOps.solarize(image, 128)),
        (Equalize, ImageOps.equalize),
        (AutoContrast, ImageOps.autocontrast),
        (Invert, ImageOps.invert),
    ],
)
def test_tones_are_pillows_with_a_probability(kind, pillows):
    step = kind(probability=0.7)
    found = np.asarray(jax.jit(jax.vmap(step.image, (0, None)))(KEYS, IMAGE), int)
    expected = np.asarray(pillows(Image.fromarray(IMAGE)), int)
    changed = (found != IMAGE).any((1, 2, 3))
    assert 0.5 < changed.mean() < 0.9
    assert np.abs(found[changed] - expected).max() <= (kind is AutoContrast)
