"""Images with fewer pixels, and moved ones."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.data import perturbations

IMAGES = np.arange(1, 1 + 3 * 6 * 8 * 2, dtype=np.uint8).reshape(3, 6, 8, 2)


@pytest.mark.parametrize("keep", perturbations.KEEP)
def test_all_pixels_are_the_image(keep):
    np.testing.assert_array_equal(perturbations.subsample(IMAGES, 1.0, keep), IMAGES)


def test_a_quarter_on_a_grid_is_stride_two():
    np.testing.assert_array_equal(
        perturbations.subsample(IMAGES, 0.25, "grid"), IMAGES[:, 1::2, 1::2]
    )


@given(st.integers(1, 40), st.floats(0.01, 1))
def test_a_grid_keeps_its_share(size, share):
    images = np.arange(size * size, dtype=np.int64).reshape(1, size, size, 1) % 251
    kept = perturbations.subsample(images.astype(np.uint8), share, "grid")
    side = perturbations.kept_size(size, share, "grid")
    assert kept.shape == (1, side, side, 1)
    assert side == 1 or abs(side - size * share**0.5) <= 0.5


@given(st.floats(0.01, 1))
def test_random_pixels_are_the_same_of_every_image(share):
    ones = np.ones((3, 10, 12, 2), np.uint8)
    kept = perturbations.subsample(ones, share, "random")
    assert kept.shape == ones.shape
    assert kept[0, ..., 0].sum() == max(round(120 * share), 1)
    assert (kept == kept[0, ..., :1]).all()


def test_shift_is_scipys():
    images = np.random.default_rng(0).integers(0, 256, (50, 7, 9, 2), np.uint8)
    moved = perturbations.shift(images, 3)
    found = set()
    for image, result in zip(images, moved, strict=True):
        (match,) = [
            (down, right)
            for down in range(-3, 4)
            for right in range(-3, 4)
            if (ndimage.shift(image, (down, right, 0), order=0) == result).all()
        ]
        found.add(match)
    assert (0, 0) not in found and len(found) > 20
    # Of an image alone it is the same.
    np.testing.assert_array_equal(perturbations.shift(images[:4], 3), moved[:4])


def test_a_data_set_with_fewer_pixels_and_moved_tests():
    whole = data.load("digits", test_examples=30)
    part = data.load(
        "digits", test_examples=30, keep_pixels=0.25, keep="grid", test_shift=1
    )
    assert part.image_shape == (4, 4, 1) and list(part.splits)[2:] == ["shifted"]
    test, shifted = part.splits["test"], part.splits["shifted"]
    expected = perturbations.subsample(whole.splits["test"].images, 0.25, "grid")
    np.testing.assert_array_equal(test.images, expected)
    np.testing.assert_array_equal(shifted.images, perturbations.shift(expected, 1))
    np.testing.assert_array_equal(shifted.labels, test.labels)
    np.testing.assert_allclose(
        part.mean, part.splits["train"].images.mean() / 255, rtol=1e-6
    )
    for keep, shape in (("grid", (4, 4, 1)), ("random", (8, 8, 1))):
        described = data.describe("digits", keep_pixels=0.25, keep=keep)
        assert described.image_shape == shape


def test_a_run_is_measured_on_the_moved_images_too(done, tmp_path):
    flags = ["--config=configs/mlp.py", "--smoke", f"--workdir={tmp_path / 'run'}"]
    done("main", *flags, "--config.data.test_shift=2")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert 0 <= results["shifted/accuracy"] <= 1
    measured = done(
        "evaluate",
        f"--workdir={tmp_path / 'run'}",
        "--split=shifted",
        "--checkpoint=last",
        "--format=json",
    )
    assert json.loads(measured)["shifted/loss"] == results["shifted/loss"]


def test_pictures_cannot_be_seen_as_the_run_saw_its_own(call, tmp_path):
    flags = ["--config=configs/mlp.py", "--smoke", f"--workdir={tmp_path / 'run'}"]
    assert call("main", *flags, "--config.data.keep_pixels=0.25")[0] == 0
    code, out, err = call("predict", f"--workdir={tmp_path / 'run'}", "none.png")
    assert (code, out) == (1, "") and "data.keep_pixels" in err


def test_images_on_the_disk_are_no_view(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(4):
            Image.new("L", (9, 9), i).save(tmp_path / name / f"{i}.png")
    options = {"dir": str(tmp_path), "image_size": 8, "in_memory": False}
    with pytest.raises(UserError, match=r"set data\.in_memory=True"):
        data.load("folder", **options, test_shift=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: perturbations.subsample(IMAGES, 0.0, "grid"), "keep_pixels=0.0"),
        (lambda: perturbations.subsample(IMAGES, 1.1, "grid"), "keep_pixels=1.1"),
        (lambda: perturbations.subsample(IMAGES, 0.5, "gird"), "Did you mean 'grid'"),
        (lambda: perturbations.shift(IMAGES, 6), "must be from 1 to 5"),
        (lambda: perturbations.shift(IMAGES, 0), "test_shift is 0"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(UserError, match=message):
        call()
