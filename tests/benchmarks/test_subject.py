"""The subject of a benchmark: a config's network, its steps and random batches."""

import numpy as np
import pytest

from cnn_jax.benchmarks.subject import Request, make
from cnn_jax.core.errors import UserError
from cnn_jax.training import setup


def test_a_network_by_name_is_as_it_was_published():
    made = make(Request(model="mlp"))
    assert made.network.image_shape == (16, 16, 1)
    assert made.network.model.num_classes == len(made.network.task.classes) == 26
    assert made.parameters == 28_326
    assert made.macs == 256 * 100 + 100 * 26
    assert made.dtype == "float32"


def test_other_inputs_classes_and_types():
    overrides = {"model.num_classes": "3", "model.dtype": "bfloat16"}
    made = make(Request(model="mlp", overrides=overrides, input_shape=(4, 5, 2)))
    assert made.network.image_shape == (4, 5, 2) and made.dtype == "bfloat16"
    assert made.parameters == 40 * 100 + 100 + 100 * 3 + 3


def test_the_same_with_another_batch():
    request = Request(model="mlp", overrides={"model.hidden": "(4,)"})
    other = request.at(6)
    assert make(other).batch_size == 6
    assert request.overrides == {"model.hidden": "(4,)"}
    assert other.at(9).overrides == {"model.hidden": "(4,)", "data.batch_size": "9"}


def test_a_network_for_pixels_by_name():
    made = make(Request(model="context_net"))
    assert made.config.task.name == "segmentation"
    assert (made.network.label_shape, made.network.label_kind) == ((32, 32), "pixels")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Request(model="mlpp"), "Did you mean"),
        (Request(config="none.py"), "no config file"),
        (Request(model="lenet5", input_shape=(8, 8, 1)), "does not fit into an input"),
        (Request(model="lenet5", overrides={"model.pool": "x"}), "unknown pool"),
        (Request(model="srcnn"), "learns a picture"),  # it has no classes
    ],
)
def test_what_cannot_be_measured(request_, words):
    with pytest.raises(UserError, match=words):
        make(request_)


@pytest.fixture(scope="module")
def mlp():
    overrides = {"data.batch_size": "5", "model.num_classes": "3"}
    return make(Request(model="mlp", overrides=overrides, input_shape=(4, 4, 1)))


@pytest.mark.parametrize("mode", ["train", "infer"])
def test_a_batch_is_what_the_loader_makes(mode, mlp):
    batch = mlp.batch(mode)
    assert batch["image"].shape == (5, 4, 4, 1) and batch["image"].dtype == np.uint8
    assert batch["index"].tolist() == [0, 1, 2, 3, 4]
    assert set(batch["label"]) <= {0, 1, 2}
    assert ("mask" in batch, "epoch" in batch) == (mode == "infer", mode == "train")
    np.testing.assert_array_equal(batch["image"], mlp.batch(mode)["image"])


def test_images_as_the_network_takes_them(mlp):
    images = mlp.batch("train")["image"]
    found = mlp.normalized(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, (images / 255 - 0.449) / 0.226, rtol=1e-4)


def test_the_step_of_each_mode(mlp, monkeypatch):
    monkeypatch.setattr(setup.Training, "step", lambda training: ("train", training))
    monkeypatch.setattr(setup.Network, "eval_step", lambda network: ("infer", network))
    assert mlp.step("train") == ("train", mlp.training)
    assert mlp.step("infer") == ("infer", mlp.network)
