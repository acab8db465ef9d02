"""PSNR and SSIM against scikit-image and the formulas, by SciPy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate
from skimage.metrics import peak_signal_noise_ratio

from cnn_jax.core.errors import UserError
from cnn_jax.tasks import image_quality

examples = settings(max_examples=20, deadline=None)
seeds = st.integers(0, 2**16)


def pair(seed, height, width):
    """An image of a few large shapes, and one near it, from 0 to 255."""
    rng = np.random.default_rng(seed)
    image = np.kron(rng.integers(0, 256, (height, width)), np.ones((4, 4)))
    image = image[:height, :width]
    near = (image + rng.normal(0, rng.uniform(1, 40), image.shape)).round()
    return image.astype(np.uint8), near.clip(0, 255).astype(np.uint8)


@examples
@given(seed=seeds, border=st.integers(0, 4))
def test_psnr_is_scikit_images(seed, border):
    a, b = pair(seed, 11, 13)
    inside = np.s_[border : 11 - border, border : 13 - border]
    expected = peak_signal_noise_ratio(a[inside], b[inside], data_range=255)
    assert image_quality.psnr(a, b, border) == pytest.approx(expected)


def test_psnr_of_one_gray_level():
    a = np.full((3, 4), 7, np.uint8)
    assert image_quality.psnr(a, a + 1.0, 0) == pytest.approx(20 * math.log10(255))
    assert image_quality.psnr(a, a, 1) == math.inf


def mean_ssim(x, y):
    """Wang et al. 2004, equations 13 to 16, over all places of the window."""
    steps = np.arange(-5, 6)
    window = np.exp(-(steps**2 + steps[:, None] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(values):
        return correlate(values, window, mode="valid", method="direct")

    x, y = x.astype(float), y.astype(float)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    index = (2 * mx * my + c1) * (2 * cov + c2)
    return (index / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean()


@examples
@given(seed=seeds, border=st.integers(0, 4))
def test_ssim_is_the_formula(seed, border):
    a, b = pair(seed, 24, 19)
    inside = np.s_[border : 24 - border, border : 19 - border]
    expected = mean_ssim(a[inside], b[inside])
    assert 0 < expected < 1
    found = image_quality.ssim(a, b, border)
    assert found == pytest.approx(expected, abs=1e-9)
    assert image_quality.ssim(a.astype(np.float32), b, border) == found
    assert image_quality.ssim(a, a, border) == pytest.approx(1)


def test_images_too_small():
    image = np.zeros((12, 14), np.uint8)
    with pytest.raises(
        UserError, match=r"12x14 is too small: .* border of 6 pixels.* 1x1"
    ):
        image_quality.psnr(image, image, 6)
    with pytest.raises(UserError, match=r"border of 1 pixels.* at least 11x11"):
        image_quality.ssim(image, image, 1)
