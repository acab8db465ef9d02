"""Smaller training images in parts of a run, against Pillow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from cnn_jax import models
from cnn_jax.core.errors import UserError
from cnn_jax.runs.resolve import resolve
from cnn_jax.training import parallel, progressive_resizing, setup
from cnn_jax.training.config import default


def test_parts_of_a_run_have_equal_lengths():
    made = progressive_resizing.make(10, (8, 8, 1), image_sizes=(4, 6, 8))
    assert made.starts == (0, 3, 6)
    sides = [made.shape(step)[0] for step in range(10)]
    assert sides == [4] * 3 + [6] * 3 + [8] * 4
    assert str(made) == "4x4 from step 1, 6x6 from step 4, 8x8 from step 7"
    assert progressive_resizing.make(10, (8, 8, 1)).shape(3) is None


def test_the_shorter_side_is_the_size():
    made = progressive_resizing.make(1, (5, 40, 60, 3), image_sizes=(20,))
    assert made.shapes == ((5, 20, 30, 3),)


def test_more_sizes_than_steps():
    with pytest.raises(UserError, match="has 3 sizes, but the run has only 2 steps"):
        progressive_resizing.make(2, (8, 8, 1), image_sizes=(2, 4, 6))


@pytest.mark.parametrize("shape", [(10, 15, 3), (48, 72, 3)])
def test_images_are_resized_as_in_pillow(shape):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 24, 36, 3), np.uint8)
    found = progressive_resizing.resized(jnp.asarray(images), shape)
    assert found.dtype == jnp.uint8
    size = (shape[1], shape[0])
    for ours, image in zip(np.asarray(found, int), images, strict=True):
        theirs = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
        assert np.abs(ours - np.asarray(theirs, int)).max() <= 1


def test_clips_are_resized_frame_by_frame():
    clips = jax.random.randint(jax.random.key(0), (2, 3, 8, 8, 1), 0, 256)
    clips = clips.astype(jnp.uint8)
    found = progressive_resizing.resized(clips, (3, 4, 4, 1))
    frame = progressive_resizing.resized(clips[:, 1], (4, 4, 1))
    np.testing.assert_array_equal(found[:, 1], frame)


def test_networks_whose_parameters_depend_on_the_size():
    made = progressive_resizing.make(4, (8, 8, 1), image_sizes=(4, 8))
    progressive_resizing.check(
        made, models.create("resnet20", num_classes=3), (8, 8, 1)
    )
    with pytest.raises(UserError, match="hidden1/kernel depends on the size"):
        progressive_resizing.check(made, models.create("mlp", num_classes=3), (8, 8, 1))
    small = progressive_resizing.make(4, (8, 8, 1), image_sizes=(1,))
    model = models.create("airbench94", num_classes=3, widths=(4, 4))
    with pytest.raises(UserError, match="image_sizes: the size 1 is not possible"):
        progressive_resizing.check(small, model, (8, 8, 1))


def test_a_run_trains_on_the_sizes(monkeypatch):
    """The network sees the sizes in turn; evaluation sees the images of the data."""
    values = default().to_dict()
    values["data"] |= {"train_examples": 16, "test_examples": 8, "batch_size": 8}
    values["data"]["augmentations"] = ()
    values["model"] |= {"stage_sizes": (1, 1), "width": 4, "stem": "small"}
    values["train"] = {"steps": 4, "image_sizes": (4, 6)}
    config = resolve(values)
    network = setup.network(config, setup.dataset(config))
    training = setup.training(network, 16)
    assert training.changes == {0, 2}
    seen = []
    normalize = network.normalize

    def recorded(images):
        seen.append(images.shape)
        return normalize(images)

    object.__setattr__(network, "normalize", recorded)
    rows = {"image": jnp.zeros((1, 8, 8, 8, 1), jnp.uint8)}
    rows |= {k: jnp.zeros((1, 8), jnp.int32) for k in ("label", "index", "epoch")}
    monkeypatch.setattr(parallel, "train_step", lambda step: step)
    for step, side in ((0, 4), (1, 4), (2, 6), (3, 6)):
        jax.make_jaxpr(training.step(step), axis_env=[(parallel.AXIS, 1)])(
            jax.eval_shape(training.fresh_state),
            {name: row[0] for name, row in rows.items()},
            jax.random.key(0),
        )
        assert set(seen) == {(8, side, side, 1)}
        seen.clear()


def test_labels_with_positions_are_refused():
    values = default().to_dict()
    values["data"] = {"name": "digit_scenes", "train_examples": 4, "test_examples": 2}
    values["data"]["batch_size"] = 4
    values["model"] |= {"head": "fcn", "stage_sizes": (1, 1), "width": 4}
    values["task"] = {"name": "segmentation"}
    values["train"] = {"steps": 4, "image_sizes": (24,)}
    config = resolve(values)
    with pytest.raises(UserError, match=r"image_sizes=24 resizes images and leaves"):
        setup.network(config, setup.dataset(config))
