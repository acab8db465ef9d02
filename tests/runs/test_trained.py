"""Checkpoints of runs, by name, and the weights that a run starts from."""

import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy
from flax.traverse_util import flatten_dict

from cnn_jax.core.errors import DataWarning, UserError
from cnn_jax.data.dataset import IMAGENET_MEAN, IMAGENET_STD, Dataset
from cnn_jax.runs import config_json, migration, trained
from cnn_jax.runs.resolve import resolve
from cnn_jax.training.checkpoints import Checkpoints
from cnn_jax.weights import weight_files
from cnn_jax.weights.weight_files import Normalization, Weights


def test_whether_a_run_has_a_checkpoint(made, tmp_path):
    assert trained.newest_step(made.workdir) is not None
    assert trained.newest_step(tmp_path) is None
    (tmp_path / "checkpoints").mkdir()
    assert trained.newest_step(tmp_path) is None


@pytest.fixture
def saved(made):
    return config_json.read(made.workdir)


def test_a_run_without_checkpoints(saved, tmp_path):
    saved = saved._replace(workdir=tmp_path)
    with pytest.raises(
        UserError, match=r"there is no checkpoint in .*train the run fi"
    ):
        trained.reader(saved)
    (tmp_path / "checkpoints").mkdir()
    with trained.reader(saved) as checkpoints:
        for name in ("best", "last", "2"):
            with pytest.raises(UserError, match="there is no checkpoint in"):
                trained.chosen_step(checkpoints, name)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_checkpoints_by_name(saved):
    assert trained.chosen_on(saved) == "val"
    with trained.reader(saved) as checkpoints:
        names = ("best", None, "last", "2")
        found = {n: trained.chosen_step(checkpoints, n) for n in names}
        assert found == {"best": 2, None: 2, "last": 4, "2": 2}
        for name in ("3", "-2", "2.0", "", "bset"):
            with pytest.raises(
                UserError, match=r"unknown checkpoint.*2, 4, best, last"
            ):
                trained.chosen_step(checkpoints, name)


def test_the_best_of_checkpoints_without_scores_is_the_last(saved, monkeypatch):
    monkeypatch.setattr(Checkpoints, "best_step", lambda _: None)
    with trained.reader(saved) as checkpoints:
        assert trained.chosen_step(checkpoints, "best") == 4


def test_a_run_without_val_has_no_best(saved):
    facts = saved.content["dataset"] | {"examples": {"train": 24, "test": 20}}
    without = saved._replace(content=saved.content | {"dataset": facts})
    assert trained.chosen_on(without) is None
    with trained.reader(without) as checkpoints:
        assert trained.chosen_step(checkpoints, None) == 4
        with pytest.raises(UserError, match=r"take --checkpoint=last, or train"):
            trained.chosen_step(checkpoints, "best")


def test_an_old_run_says_what_its_best_was_chosen_on(saved, monkeypatch):
    old = saved._replace(content=saved.content | {"schema": migration.ROLES - 1})
    assert trained.chosen_on(old) == "test"
    monkeypatch.setattr(Checkpoints, "best_step", lambda _: 2)
    with (
        trained.reader(old) as checkpoints,
        pytest.warns(DataWarning, match="chose the best checkpoint .* on the test"),
    ):
        assert checkpoints.best_metric == "test/accuracy"
        assert trained.chosen_step(checkpoints, None) == 2


@pytest.mark.parametrize(("checkpoint", "step"), [("best", 2), ("last", 4)])
def test_the_weights_of_a_run_are_its_averages(checkpoint, step, made):
    """With what their images were normalized by, and their classes."""
    found = trained.weights(made.workdir, checkpoint)
    expected = flatten_dict(made.states[step].ema, sep="/")
    assert found.arrays.keys() == expected.keys()
    for key, value in expected.items():
        assert type(found.arrays[key]) is np.ndarray
        np.testing.assert_array_equal(found.arrays[key], value)
    assert found.facts == {
        "model": "plain",
        "step": step,
        "classes": tuple("0123456789"),
        "norm": "batch",
    }
    assert found.normalization == (made.dataset.mean, made.dataset.std)


def test_variables_without_averages_are_the_parameters(made, saved):
    """They are parameters of the same checkpoint, for a config without averages."""
    values = made.config.to_dict()
    values["optimizer"]["ema_decay"] = None
    config = resolve(values)
    network = dataclasses.replace(made.network, config=config)
    with trained.reader(saved) as checkpoints:
        found = trained.restore(checkpoints, 2, network)
    kernel = found["params"]["head"]["kernel"]
    state = made.states[2]
    np.testing.assert_array_equal(kernel, state.params["head"]["kernel"])
    assert not np.array_equal(kernel, state.ema["params"]["head"]["kernel"])


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(UserError, match="is not a run's folder"):
        trained.weights(tmp_path)


# ------------------------------------------------------------------ where a run starts


def starting_from(place, values, **model):
    return resolve(values(model={"init_from": str(place), **model}))


def test_a_run_may_start_from_a_run(made, values):
    config = starting_from(made.workdir, values)
    weights = trained.initial(config)
    assert weights.facts["step"] == 2  # its best
    _, network, variables, (report,) = trained.started(config, made.dataset)
    assert network.model == made.network.model
    assert flatten_dict(variables, sep="/").keys() == weights.arrays.keys()
    assert f"start from {made.workdir}" in report and "left" not in report
    others = dataclasses.replace(made.dataset, classes=tuple("abcdefghij"))
    _, _, variables, (report,) = trained.started(config, others)
    assert "head: the file's classes are not the network's" in report
    assert "head" not in variables["params"]


def test_files_say_what_they_expect(tmp_path):
    """Files with torchvision's names that state nothing get torchvision's values."""
    state = {"fc.bias": np.zeros(2, np.float32)}
    stated, bare = tmp_path / "w.safetensors", tmp_path / "bare.safetensors"
    facts = {"mean": json.dumps([0.1, 0.2, 0.3]), "std": json.dumps([1, 2, 3])}
    weight_files.write_file(stated, state, facts, overwrite=False)
    safetensors.numpy.save_file(state, bare)

    def expected(name, path=bare):
        values = {"model": {"name": name, "init_from": str(path)}}
        return trained.initial(resolve(DEFAULTS | values)).normalization

    assert expected("resnet18", stated) == ((0.1, 0.2, 0.3), (1, 2, 3))
    assert expected("resnet18") == (IMAGENET_MEAN[3], IMAGENET_STD[3])
    rescaled = (0.5,) * 3, (0.5,) * 3  # torchvision rescales for these
    assert expected("inception_v3") == expected("googlenet_bn") == rescaled
    assert expected("fcos:googlenet_bn") == rescaled


DEFAULTS = {
    "data": {"name": "digits", "batch_size": 8},
    "task": {"name": "classification"},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "schedule": {"name": "constant"},
}

DATA = Dataset({}, tuple("ab"), (8, 8, 1), (0.25,), (0.5,))


def weights_of(mean, std):
    return Weights({}, normalization=Normalization(mean, std))


def test_the_data_is_normalized_as_the_weights_expect(values):
    config = starting_from("w.pth", values)
    found, warning = trained.normalized(DATA, config, weights_of((0.4,), (0.3,)))
    assert (found.mean, found.std, warning) == ((0.4,), (0.3,), None)
    assert dataclasses.replace(found, mean=DATA.mean, std=DATA.std) == DATA


@pytest.mark.parametrize("mean", [None, (0.4, 0.4, 0.4)])
def test_weights_that_say_nothing_or_are_of_other_channels(mean, values):
    weights = weights_of(mean, (0.3,) * 3) if mean else Weights({})
    found = trained.normalized(DATA, starting_from("w.pth", values), weights)
    assert found == (DATA, None)


@pytest.mark.parametrize(("mean", "warns"), [(0.2505, False), (0.26, True)])
def test_a_config_that_wants_another_normalization_is_warned(mean, warns, values):
    config = resolve(
        values(data={"normalization": "data"}, model={"init_from": "w.pth"})
    )
    found, warning = trained.normalized(DATA, config, weights_of((mean,), (0.5,)))
    assert found == DATA and bool(warning) == warns
    if warns:
        assert warning == (
            "w.pth expects images normalized by mean (0.260) and standard deviation "
            "(0.500), but config.data.normalization=data uses (0.250) and (0.500). "
            "Leave out config.data.normalization to use the normalization of the "
            "weights."
        )


def test_a_description_of_a_run_is_enough(made, tmp_path, values):
    """Loading the weights of a run does not read its data."""
    config = made.config.to_dict()
    config["data"] |= {"train_examples": 10**6}
    config_json.describe(tmp_path, resolve(config), made.dataset, {})
    (tmp_path / "checkpoints").symlink_to(made.workdir / "checkpoints")
    assert trained.weights(tmp_path).facts["step"] == 2
