"""Mean outputs over several views of an image."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from cnn_jax import runs
from cnn_jax.core import fit
from cnn_jax.core.errors import UserError
from cnn_jax.runs.resolve import resolve
from cnn_jax.training import setup, views

IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5, 4, 2)), jnp.float32)


def logits(images):
    """A function of each image that is not linear."""
    return {"logits": jnp.tanh(images[:, 1, 1])}


def test_without_views_the_function_is_the_same():
    assert views.averaged(logits, ()) is logits


def test_flips_and_shifts():
    def value(images):
        return np.tanh(images[:, 1, 1])

    padded = np.pad(IMAGES, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="reflect")
    first, last = padded[:, :5, :4], padded[:, 2:, 2:]
    flip = (value(IMAGES) + value(IMAGES[:, :, ::-1])) / 2
    shift = value(IMAGES) / 2 + (value(first) + value(last)) / 4
    both = flip / 2 + sum(value(x) + value(x[:, :, ::-1]) for x in (first, last)) / 8
    for names, expected in (
        (("flip",), flip),
        (("shift",), shift),
        (("shift", "flip"), both),
    ):
        found = views.averaged(logits, names)(IMAGES)["logits"]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_crops_are_the_corners_and_the_center_as_in_pillow():
    ramp = np.arange(16 * 24, dtype=np.float32).reshape(16, 24)
    found = views.cropped(jnp.asarray(ramp)[None, ..., None])
    places = [(0, 0), (0, 3), (2, 0), (2, 3), (1, 1)]  # of 14x21 pixels
    for (weight, view, _), (top, left) in zip(found, places, strict=True):
        crop = Image.fromarray(ramp[top : top + 14, left : left + 21])
        expected = np.asarray(crop.resize((24, 16), Image.Resampling.BILINEAR))
        assert weight == 1 / 5
        np.testing.assert_allclose(view[0, ..., 0], expected, rtol=1e-4, atol=1e-3)
    averaged = views.averaged(lambda images: images.mean((1, 2)), ("crop", "flip"))
    one = views.averaged(lambda images: images.mean((1, 2)), ("crop",))
    np.testing.assert_allclose(averaged(IMAGES), one(IMAGES), rtol=1e-5)


def test_clips_are_mirrored_frame_by_frame():
    clips = IMAGES[None]
    same, mirrored = views.flipped(clips)
    assert same.images is clips
    np.testing.assert_array_equal(mirrored.images[0], IMAGES[:, :, ::-1])
    assert [view.images.shape for view in views.shifted(clips)] == [clips.shape] * 3


@pytest.mark.parametrize("output_kind", ["maps", "picture"])
def test_outputs_for_each_pixel_are_mirrored_back(output_kind):
    def cumulated(images):
        return jnp.cumsum(images, axis=2)

    found = views.averaged(cumulated, ("flip",), output_kind)(IMAGES)
    left, right = np.cumsum(IMAGES, 2), np.cumsum(IMAGES[:, :, ::-1], 2)[:, :, ::-1]
    np.testing.assert_allclose(found, (left + right) / 2, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"eval": {"views": ("turn",)}}, "unknown config.eval.views 'turn'"),
        (
            {
                "eval": {"views": ("shift",)},
                "model": {"head": "fcn"},
                "data": {"name": "digit_scenes"},
                "task": {"name": "segmentation"},
            },
            "averages logits",
        ),
    ],
)
def test_views_that_do_not_fit(values, groups, words):
    config = resolve(values(**groups))
    dataset = setup.dataset(config)
    with pytest.raises(UserError, match=words):
        setup.network(config, dataset)


def test_images_that_must_not_be_mirrored():
    data = fit.Part("config.data.name=moving_digits", {"mirrorable": False})
    fit.check([views.part(("shift",)), data])
    with pytest.raises(UserError, match=r"eval.views=shift,flip mirrors images"):
        fit.check([views.part(("shift", "flip")), data])


def test_evaluation_and_prediction_average_the_same_views(values, few_digits, tmp_path):
    config = resolve(values(eval={"views": ("shift",)}, train={"steps": 2}))
    runs.train(config, tmp_path / "run")
    loaded = runs.load(tmp_path / "run")
    images = few_digits.splits["test"].images
    expected = sum(
        weight * loaded.model.apply(loaded.variables, view, train=False)
        for weight, view, _ in views.shifted(
            loaded.network.normalize(jnp.asarray(images))
        )
    )
    found = [outputs for _, outputs in loaded.outputs(list(images))]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    kept = np.load(tmp_path / "run" / "predictions" / "test.npz")
    np.testing.assert_array_equal(kept["prediction"], expected.argmax(-1))
