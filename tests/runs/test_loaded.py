"""A trained run that is ready for images."""

import dataclasses
import os

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import cnn_jax
from cnn_jax import models
from cnn_jax.core.errors import UserError
from cnn_jax.runs import config_json, loaded
from cnn_jax.runs.resolve import resolve
from cnn_jax.tasks.resizing import UNCHANGED
from cnn_jax.training import setup
from tests.made import logits_of


@pytest.mark.parametrize(("checkpoint", "step"), [("best", 2), ("last", 4), ("4", 4)])
def test_every_picture_gets_the_networks_output(
    checkpoint, step, made, write_digits, monkeypatch
):
    """Batch by batch, the last one of which is not full."""
    monkeypatch.setattr(loaded, "BATCH", 2)
    files, pixels = write_digits(3)
    run = loaded.load(made.workdir, checkpoint)
    statistics = made.network.task.label_statistics  # for training alone
    task = dataclasses.replace(run.task, label_statistics=statistics)
    assert run.step == step and task == made.network.task
    drawn, outputs = zip(*run.outputs(files), strict=True)
    np.testing.assert_array_equal(drawn, pixels)
    expected = logits_of(made, step, pixels)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


def test_a_bad_file_is_found_before_anything_is_computed(made, write_digits):
    files, _ = write_digits(2)
    files[1].write_bytes(b"no picture")
    run = loaded.load(made.workdir)
    run._forward = pytest.fail
    with pytest.raises(UserError, match=r"01\.png"):
        next(run.outputs(files))


def test_a_style_for_a_network_that_takes_none(made, write_digits):
    files, _ = write_digits(1)
    with pytest.raises(UserError, match="takes no style image: leave out --st"):
        loaded.load(made.workdir, style=files[0])


def test_pictures_of_which_the_run_saw_a_part(values, tmp_path, few_digits):
    config = resolve(values(data={"keep_pixels": 0.5}))
    config_json.describe(tmp_path, config, few_digits, {})
    with pytest.raises(UserError, match=r"on a part of .* \(data\.keep_pixels\)"):
        loaded.load(tmp_path)


def test_pictures_that_keep_their_size_are_read_again(
    made, write_digits, tmp_path, monkeypatch
):
    """Large ones are not held in memory, and have a program for each size."""

    class AsItIs(type(made.network.task)):
        resizing = UNCHANGED

    task = AsItIs(made.dataset.classes)
    changed = dataclasses.replace(made.network, task=task)
    monkeypatch.setattr(setup, "network", lambda *_: changed)
    _, pixels = write_digits(1)
    sizes = [(8, 8), (12, 10)]
    files = []
    for number, (height, width) in enumerate(sizes):
        picture = np.resize(pixels, (height, width))
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(picture).save(files[-1])
    found = list(loaded.load(made.workdir).outputs(files))
    assert [picture.shape for picture, _ in found] == sizes
    for picture, output in found:
        expected = logits_of(made, 2, picture[None, ..., None])[0]
        np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-5)


def test_files_arrays_and_pictures_are_the_same_image(made, write_digits):
    (file,), (pixels,) = write_digits(1)
    run = cnn_jax.load(made.workdir)
    given = [file, str(file), file.read_bytes(), pixels, pixels[..., 0]]
    given += [Image.open(file), np.repeat(pixels, 3, axis=-1)]
    for image in given:
        np.testing.assert_array_equal(run.preprocess(image), pixels)
    first, *others = run.predict(given, top_k=3)
    assert len(first) == 3 and all(answers == first for answers in others)
    assert run.predict(file, top_k=3) == [first]
    logits = np.asarray(logits_of(made, 2, pixels[None]))[0]
    assert first[0]["class"] == run.classes[int(logits.argmax())]


def test_features_are_the_map_before_the_head(made, write_digits):
    files, pixels = write_digits(2)
    run = cnn_jax.load(made.workdir, checkpoint="last")
    images = run.network.normalize(jnp.asarray(pixels))
    expected = models.features(run.model, run.variables, images)
    found = run.features(files)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((8, 8), np.float32), "has dtype float32 .* must be uint8"),
        (np.zeros((8, 8, 2), np.uint8), r"\[8, 8, 2\]"),
        ("nowhere.png", "nowhere.png"),
        (b"no picture", "not an image, or damaged"),
    ],
)
def test_images_that_are_none(image, words, made):
    with pytest.raises(UserError, match=words):
        cnn_jax.load(made.workdir).preprocess(image)


def test_a_pipe_is_refused(made, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UserError, match="is a pipe"):
        loaded.load(made.workdir).outputs([tmp_path / "pipe.png"]).__next__()
    with pytest.raises(UserError, match="is a pipe"):
        loaded.load(made.workdir, style=tmp_path / "pipe.png")


@pytest.fixture
def deep_run(tmp_path):
    """A run of one step on a folder of 16-bit pictures, and one of the pictures."""
    for name in "ab":
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(5):
            values = np.random.default_rng([i, ord(name)]).integers(0, 4096, (8, 8, 2))
            file = tmp_path / "data" / name / f"{i}.npy"
            np.save(file, values.astype(np.uint16))
    values = {
        "data.name": "folder",
        "data.dir": str(tmp_path / "data"),
        "data.image_size": 8,
        "data.channels": 2,
        "data.value_range": (0.0, 4095.0),
        "data.augmentations": ("crop(padding=1)", "flip", "mixup"),
        "data.batch_size": 4,
        "model.name": "mlp",
        "model.hidden": (3,),
        "train.steps": 1,
        "schedule.warmup_steps": 0,
    }
    cnn_jax.train("configs/mlp.py", tmp_path / "run", overrides=values)
    return cnn_jax.load(tmp_path / "run"), file


def test_a_run_on_16_bits(deep_run, tmp_path):
    """The network sees all bits, of a file and of an array."""
    run, file = deep_run
    values = np.load(file).astype(np.float32) * np.float32(255 / 4095)
    np.testing.assert_allclose(run.preprocess(file), values, rtol=1e-5)
    ((drawn, logits),) = run.outputs(file)
    assert drawn.dtype == np.uint8 and run.network.image_type == np.float32
    saved = config_json.read(tmp_path / "run").dataset
    normalized = jnp.asarray((values / 255 - saved.mean) / saved.std, jnp.float32)
    expected = run.model.apply(run.variables, normalized[None], train=False)[0]
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    ((_, again),) = run.outputs(run.preprocess(file))
    np.testing.assert_array_equal(again, logits)
    with pytest.raises(UserError, match=r"has dtype uint8 .* takes float32 arrays"):
        next(run.outputs(np.zeros((8, 8, 2), np.uint8)))
