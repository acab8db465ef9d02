"""Bicubic resizing against MATLAB, Pillow, polynomials and the papers' figures."""

import base64

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cnn_jax.core.errors import UserError
from cnn_jax.data import bicubic
from cnn_jax.data.colors import luma
from cnn_jax.tasks import image_quality

# The upper left corner, 23x12 pixels, of the blue channel of a photo of 512x512, and
# that of what MATLAB R2015b's imresize(image, [123, 234]) makes of it, as uint8 and as
# double (github.com/fatheral/matlab_imresize, test).
CORNER = """
fX2FgHh0e3x/d355fX2FgHh0e3x/d355fX2FgHh0e3x/d355fX2FgHh0e3x/d355fX2FgHh0e3x/d355
e3txb3hzeHFtdWp3d3d0c31wdGlxeHF1eXlqcnh0cGp8dHpyampwbnZ/bG59cWtzaGhtdWZtbHN4aHdy
ampndmtmcWlpcnFpbm5odGdsbWV0bGloc3NsdWdhemlxam9sampvbm90aWp2aGlkbGxwb15zY2RyZ2Bw
c3NrbWZwbV9wbmBvbm5wa3Zob2NqbWVocXFva2dvZWZsbGtlcXFzaHN2Z2VvZ2hmaGhqa29zbGZoa2lt
aWlteXJtbmtxam5qbGxqbW1ramxvZGVqcnJpcGtgaW9vZ2Bu
"""
MATLAB_UINT8 = [
    [126, 128, 119, 125],
    [120, 118, 117, 115],
    [108, 111, 109, 111],
    [111, 109, 107, 106],
]
MATLAB_DOUBLE = [
    [127, 128, 119, 125],
    [119, 117, 117, 115],
    [107, 110, 109, 111],
    [111, 109, 107, 106],
]

sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))
seeds = st.integers(0, 99)


def random_image(seed, *shape):
    return np.random.default_rng(seed).random(shape)


def test_matlabs_values():
    """MATLAB also rounds uint8 values between the two dimensions."""
    corner = np.frombuffer(base64.b64decode(CORNER), np.uint8).reshape(23, 12)
    image = np.zeros((512, 512), np.uint8)
    image[:23, :12] = corner
    found = bicubic.resize(image, (123, 234))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[:4, :4], MATLAB_UINT8)
    found = bicubic.resize(image / 255, (123, 234)) * 255
    np.testing.assert_array_equal(np.floor(found[:4, :4] + 0.5), MATLAB_DOUBLE)


@settings(max_examples=50, deadline=None)
@given(seed=seeds, before=sizes, after=sizes)
def test_inside_it_is_pillows(seed, before, after):
    """Only pixels near the border differ: Pillow's kernel ends there, ours mirrors."""
    image = random_image(seed, *before).astype(np.float32)
    found = bicubic.resize(image, after)
    assert found.shape == after and found.dtype == np.float32
    theirs = Image.fromarray(image).resize(after[::-1], Image.Resampling.BICUBIC)
    inside = []
    for n, m in zip(before, after, strict=True):
        place, reach = (np.arange(m) + 0.5) * n / m, 2 * max(n / m, 1)
        inside.append((place - reach >= 0) & (place + reach <= n))
    inside = np.ix_(*inside)
    np.testing.assert_allclose(found[inside], np.asarray(theirs)[inside], atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4, 1.5])
def test_a_parabola_stays_one(scale):
    """Interpolation by Keys' kernel is of third order."""

    def parabola(y, x):
        return 3 + y - 2 * x + 0.5 * y**2 + x * y - 0.25 * x**2

    def places(count):
        return (np.arange(count) + 0.5) / scale - 0.5

    found = bicubic.resize(parabola(*np.mgrid[:12.0, :10.0]), scale)
    expected = parabola(places(len(found))[:, None], places(found.shape[1]))
    edge = int(2 * scale)
    inside = np.s_[edge:-edge, edge:-edge]
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(seed=seeds, before=sizes, after=sizes)
def test_at_the_border_the_image_is_mirrored(seed, before, after):
    """With mirror images on all sides and corners, the middle stays what it was."""
    image = random_image(seed, *before)
    around = np.pad(image, [(n, n) for n in before], mode="symmetric")
    large = bicubic.resize(around, (3 * after[0], 3 * after[1]))
    middle = large[after[0] : 2 * after[0], after[1] : 2 * after[1]]
    np.testing.assert_allclose(bicubic.resize(image, after), middle, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(
    seed=seeds,
    before=sizes,
    after=sizes,
    kind=st.sampled_from(["uint8", "float64"]),
)
def test_both_dimensions_are_alike(seed, before, after, kind):
    image = random_image(seed, *before)
    if kind == "uint8":
        image = (image * 256).astype(np.uint8)
        if after[0] * before[1] == after[1] * before[0]:
            return  # of one scale: the height comes first
    found = bicubic.resize(image, after)
    turned = bicubic.resize(image.T.copy(), after[::-1]).T
    np.testing.assert_allclose(found, turned, atol=0 if kind == "uint8" else 1e-12)


def test_channels_are_images_of_their_own():
    image = (random_image(0, 9, 7, 3) * 256).astype(np.uint8)
    found = bicubic.resize(image, 2.5)
    assert found.shape == (23, 18, 3)  # 22.5 and 17.5, rounded up
    for channel in range(3):
        alone = bicubic.resize(image[..., channel], 2.5)
        np.testing.assert_array_equal(found[..., channel], alone)


def test_values_of_bytes_are_cut_off():
    step = np.zeros((8, 8), np.uint8)
    step[:, 4:] = 255
    found = bicubic.resize(step.astype(float), 2)
    assert found.min() < -9 and found.max() > 264
    np.testing.assert_array_equal(
        bicubic.resize(step, 2), np.floor(found.clip(0, 255) + 0.5)
    )


@pytest.mark.parametrize("to", [0, -0.5, (0, 3), (3, 0)])
def test_impossible_sizes(to):
    with pytest.raises(UserError, match="an image of 4x5 cannot be resized"):
        bicubic.resize(np.zeros((4, 5)), to)


# PSNR in dB and SSIM of bicubic interpolation at x2, x3, x4, as in Kim et al. 2016,
# "Accurate Image Super-Resolution Using Very Deep Convolutional Networks", table 3.
PUBLISHED = {
    "Set5": [(33.66, 0.9299), (30.39, 0.8682), (28.42, 0.8104)],
    "Set14": [(30.24, 0.8688), (27.55, 0.7742), (26.00, 0.7027)],
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures(name, shared_data):
    """The papers resize luma, rounded once, and round again only at the end."""
    folder = shared_data / "super_resolution" / name
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    images = [np.atleast_3d(Image.open(path)) for path in sorted(folder.glob("*.png"))]
    for scale, (psnr, ssim) in zip((2, 3, 4), PUBLISHED[name], strict=True):
        found = []
        for image in images:
            height, width = (n // scale * scale for n in image.shape[:2])
            true = luma(image[:height, :width])
            small = bicubic.resize(true.astype(float), 1 / scale)
            large = bicubic.resize(small, scale).round().clip(0, 255)
            found.append(
                (
                    image_quality.psnr(true, large, scale),
                    image_quality.ssim(true, large, scale),
                )
            )
        found = np.mean(found, axis=0)
        assert found[0] == pytest.approx(psnr, abs=0.01)
        assert found[1] == pytest.approx(ssim, abs=0.001)
