"""Training and the run's folder, before and after the loop."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest

from cnn_jax import runs
from cnn_jax.analysis import costs
from cnn_jax.core.errors import UserError
from cnn_jax.runs import config_json, run_folder, run_training
from cnn_jax.runs.resolve import resolve
from cnn_jax.training import loop, parallel, setup
from cnn_jax.training.freezing import shapes_of


@pytest.fixture
def trained_with(monkeypatch):
    """Returns the calls of a loop that trains nothing and returns results."""
    calls = []

    def train(*arguments, **options):
        calls.append((arguments, options))
        return {"step": 4, "test/accuracy": 0.5}

    monkeypatch.setattr(loop, "train", train)
    return calls


def table(out):
    return dict(line.split() for line in out.splitlines() if len(line.split()) == 2)


def test_a_run_is_described_trained_and_its_results_written(
    trained_with, values, tmp_path, capsys
):
    config = resolve(values(eval={"test_curve": True}))
    folder = tmp_path / "new" / "run"
    runs.train(config, folder, overwrite=False, tags={"arm": "small"})
    (((training, dataset, place), options),) = trained_with
    assert (training.config, place, training.steps) == (config, folder, 4)
    assert {role: len(split) for role, split in dataset.splits.items()} == {
        "train": 24,
        "val": 16,
        "test": 20,
    }
    layers = costs.layer_table(training.network.model, (8, 8, 1))
    assert options["tags"] == {"arm": "small"}
    assert options["table"] == costs.render(layers, "markdown")
    assert json.loads((folder / "config.json").read_text())["tags"] == {"arm": "small"}
    results = run_folder.read_results(folder)
    assert results == {"step": 4, "test/accuracy": 0.5, "macs": layers.macs}
    out = capsys.readouterr().out
    assert (
        "plain on digits: " in out
        and "24 training, 16 validation and 20 test examples" in out
    )
    assert "4 steps of 8 on 1 x cpu" in out
    assert "the test split is evaluated during training" in out
    assert table(out)["test/accuracy"] == "0.5000"
    assert out.endswith(f"tensorboard --logdir={folder.parent}\n")


def test_a_complete_run_is_not_trained_again(trained_with, values, tmp_path, capsys):
    config = resolve(values())
    runs.train(config, tmp_path, overwrite=False)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    capsys.readouterr()
    runs.train(config, tmp_path, overwrite=False)
    out = capsys.readouterr().out
    assert (
        f"The run in {tmp_path} is complete; --overwrite trains the run again, and "
        "--extend with a greater length of config.train trains it further.\n" in out
    )
    assert table(out)["step"] == "4"
    assert {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before
    assert len(trained_with) == 1
    runs.train(config, tmp_path, overwrite=True)
    assert len(trained_with) == 2


def test_a_run_that_is_not_complete_goes_on(trained_with, values, tmp_path):
    config = resolve(values())
    runs.train(config, tmp_path, overwrite=False)
    (tmp_path / "results.json").unlink()
    runs.train(config, tmp_path, overwrite=False)
    assert len(trained_with) == 2 and run_folder.read_results(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"train_examples": 0}}, "train_examples"),
        ({"model": {"num_classes": 3}}, "must be at least 10, the number of classes"),
        ({"task": {"name": "segmentation"}}, "learns one label per pixel"),
        ({"train": {"steps": 0}}, "step"),
        ({"model": {"init_from": "/nowhere"}}, "no weights at /nowhere"),
        ({"optimizer": {"train_only": "x"}}, "matches no parameter"),
    ],
)
def test_mistakes_are_found_before_the_folder_is_touched(
    changes, words, trained_with, values, tmp_path
):
    with pytest.raises(UserError, match=words):
        runs.train(resolve(values(**changes)), tmp_path / "run", overwrite=True)
    assert not trained_with and not (tmp_path / "run").exists()


def test_data_that_changed_since_the_run_began(trained_with, values, tmp_path):
    config = resolve(values())
    runs.train(config, tmp_path, overwrite=False)
    (tmp_path / "results.json").unlink()
    dataset = setup.dataset(config)
    train = dataset.splits["train"].subset(np.arange(23))
    fewer = dataclasses.replace(dataset, splits=dataset.splits | {"train": train})
    config_json.describe(tmp_path, config, fewer, {})
    with pytest.raises(UserError, match="the data has changed"):
        runs.train(config, tmp_path, overwrite=False)
    assert len(trained_with) == 1


def test_what_is_trained_of_a_run_that_starts_from_weights(
    trained_with, made, values, tmp_path, capsys
):
    config = resolve(
        values(model={"init_from": str(made.workdir)}, optimizer={"train_only": "head"})
    )
    runs.train(config, tmp_path / "run", overwrite=False)
    (((training, dataset, _), _),) = trained_with
    assert dataset.mean == made.dataset.mean
    kernel = training.initial["params"]["head"]["kernel"]
    expected = made.states[2].ema["params"]["head"]["kernel"]
    np.testing.assert_array_equal(kernel, expected)
    head = sum(
        np.prod(shape)
        for path, shape in shapes_of(training.network.model, (8, 8, 1)).items()
        if path[0] == "head"
    )
    results = run_folder.read_results(tmp_path / "run")
    assert results["trained_parameters"] == head == kernel.size + 10
    assert f"start from {made.workdir}" in capsys.readouterr().out


def test_a_run_that_takes_the_batch_statistics_of_weights_alone(
    trained_with, made, values, tmp_path, capsys
):
    options = {"reinitialize": ".*/(kernel|bias|scale)"}
    config = resolve(values(model={"init_from": str(made.workdir)}, optimizer=options))
    runs.train(config, tmp_path / "run", overwrite=False)
    (((training, *_), _),) = trained_with
    assert training.initial.keys() == {"batch_stats"}
    assert "from the file" in capsys.readouterr().out


def test_other_hosts_write_nothing(trained_with, values, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(parallel, "is_main_host", lambda: False)
    runs.train(resolve(values()), tmp_path / "run", overwrite=False)
    assert len(trained_with) == 1
    assert not (tmp_path / "run").exists() and capsys.readouterr().out == ""


COMMAND = ("main", "--config=configs/mlp.py", "--smoke")


@pytest.fixture
def folder(trained, tmp_path):
    """A complete run's folder that may be spoiled, of a name full of patterns."""
    return shutil.copytree(trained, tmp_path / "lr=[0.1] *?")


def replace(path, old, new):
    text = path.read_bytes()
    assert old in text
    path.write_bytes(text.replace(old, new))


def results(folder):
    found = json.loads((folder / "results.json").read_text())
    return {k: v for k, v in found.items() if k not in ("train_seconds", "checksum")}


def test_config_json_is_mended_by_the_runs_own_command(folder, trained, call):
    replace(folder / "config.json", b'"crop": 1.0', b'"crop": 0.5')
    for command in (["evaluate"], ["predict", trained / "config.json"]):
        code, out, err = call(command[0], f"--workdir={folder}", *command[1:])
        assert code == 1 and out == "" and len(err.splitlines()) == 1
        assert "config.json is damaged" in err and "to rewrite the file" in err
    code, out, err = call(*COMMAND, f"--workdir={folder}")
    assert code == 0, err
    (line,) = (line for line in out.splitlines() if line.startswith("warning: "))
    assert "config.json is damaged" in line and "to rewrite the file" in line
    assert results(folder) == results(trained)
    facts = json.loads((folder / "config.json").read_text())["dataset"]
    assert facts == json.loads((trained / "config.json").read_text())["dataset"]
    assert call("evaluate", f"--workdir={folder}")[0] == 0


@pytest.mark.parametrize("spoiled", [b'"step": 5', b'"step" 4'])
def test_results_are_made_again(spoiled, folder, trained, call):
    replace(folder / "results.json", b'"step": 4', spoiled)
    code, out, _ = call(*COMMAND, f"--workdir={folder}")
    (line,) = (line for line in out.splitlines() if line.startswith("warning: "))
    assert code == 0 and "results.json is damaged" in line
    assert results(folder) == results(trained)


def test_a_bad_byte_in_the_metrics_does_not_stop_a_run(folder, call):
    (folder / "results.json").unlink()
    log = folder / "metrics.jsonl"
    log.write_bytes(b"\xff\n" + log.read_bytes())
    code, _, err = call(*COMMAND, f"--workdir={folder}")
    assert code == 0 and "metrics.jsonl differs from what the run wrote: 1 line" in err


def test_other_devices_are_said_as_a_run_goes_on(folder, call):
    (folder / "results.json").unlink()
    content = json.loads((folder / "config.json").read_text())
    content["device"]["count"] = 4
    for key in ("checksum", "schema"):  # as earlier versions wrote it
        del content[key]
    (folder / "config.json").write_text(json.dumps(content))
    code, out, _ = call(*COMMAND, f"--workdir={folder}")
    assert code == 0 and "began with a device count of 4 and resumes with" in out


@pytest.mark.parametrize("name", ["config.json", "results.json", "metrics.jsonl"])
def test_a_fifo_is_not_waited_for(name, folder, call):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    for more in ([], ["--overwrite"], ["--mode=eval"]):
        code, out, err = call(*COMMAND, f"--workdir={folder}", *more)
        assert code == 1 and out == "" and "is not a regular file" in err


def test_a_run_initializes_a_network_with_training_images(values, tmp_path):
    """A run that resumes reads no images: its checkpoint has the parameters."""
    config = resolve(
        values(model={"name": "airbench94", "widths": (4, 4)}, train={"steps": 2})
    )
    ready = run_training.prepare(config)
    images = ready.dataset.splits["train"].images
    np.testing.assert_array_equal(ready.training.images, images)
    runs.train(config, tmp_path)
    saved = config_json.read(tmp_path)
    assert run_training.prepare(config, saved).training.images is None
