"""What a command does with a run's folder, around the loop that trains."""

import dataclasses
import json
import os
import shutil

import jax
import numpy as np
import pytest
import safetensors
from scipy.special import log_softmax

from cnn_jax.analysis import costs
from cnn_jax.core.errors import UserError
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.splits import Arrays
from cnn_jax.runs import run_folder, session
from cnn_jax.runs.resolve import resolve
from cnn_jax.training import loop, parallel, setup
from cnn_jax.training.checkpoints import Checkpoints
from cnn_jax.training.freezing import shapes_of
from cnn_jax.training.progress import Progress
from cnn_jax.weights import torch_weights


@pytest.fixture
def trained_with(monkeypatch):
    """What the loop was given; it trains nothing and returns results."""
    calls = []

    def train(*arguments, **options):
        calls.append((arguments, options))
        return {"step": 4, "test/accuracy": 0.5}

    monkeypatch.setattr(loop, "train", train)
    return calls


def table(out):
    return dict(line.split() for line in out.splitlines() if len(line.split()) == 2)


# -------------------------------------------------------------------------- train


def test_a_run_is_described_trained_and_its_results_written(
    trained_with, values, tmp_path, capsys
):
    config = resolve(values())
    folder = tmp_path / "new" / "run"
    session.train(config, folder, overwrite=False, tags={"arm": "small"})
    (((given, dataset, network, training, place), options),) = trained_with
    assert (given, place, training.steps) == (config, folder, 4)
    assert {role: len(split) for role, split in dataset.splits.items()} == {
        "train": 24,
        "test": 20,
    }
    layers = costs.layer_table(network.model, (8, 8, 1))
    assert options["tags"] == {"arm": "small"}
    assert options["table"] == costs.render(layers, "markdown")
    assert json.loads((folder / "config.json").read_text())["tags"] == {"arm": "small"}
    results = run_folder.read_results(folder)
    assert results == {"step": 4, "test/accuracy": 0.5, "macs": layers.macs}
    out = capsys.readouterr().out
    assert "plain on digits: " in out and "24 training and 20 test examples" in out
    assert "4 steps of 8 on 1 x cpu" in out
    assert table(out)["test/accuracy"] == "0.5000"
    assert out.endswith(f"tensorboard --logdir={folder.parent}\n")


def test_a_complete_run_is_not_trained_again(trained_with, values, tmp_path, capsys):
    config = resolve(values())
    session.train(config, tmp_path, overwrite=False)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    capsys.readouterr()
    session.train(config, tmp_path, overwrite=False)
    out = capsys.readouterr().out
    assert f"The run in {tmp_path} is complete; --overwrite starts it again." in out
    assert table(out)["step"] == "4"
    assert {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before
    assert len(trained_with) == 1
    session.train(config, tmp_path, overwrite=True)
    assert len(trained_with) == 2


def test_a_run_that_is_not_complete_goes_on(trained_with, values, tmp_path):
    config = resolve(values())
    session.train(config, tmp_path, overwrite=False)
    (tmp_path / "results.json").unlink()
    session.train(config, tmp_path, overwrite=False)
    assert len(trained_with) == 2 and run_folder.read_results(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"train_examples": 0}}, "train_examples"),
        ({"model": {"num_classes": 3}}, "less than the 10 classes"),
        ({"task": {"name": "segmentation"}}, "learns one label a pixel"),
        ({"train": {"steps": 0}}, "step"),
        ({"model": {"init_from": "/nowhere"}}, "no weights at /nowhere"),
        ({"optimizer": {"train_only": "x"}}, "matches no parameter"),
    ],
)
def test_mistakes_are_found_before_the_folder_is_touched(
    changes, words, trained_with, values, tmp_path
):
    with pytest.raises(UserError, match=words):
        session.train(resolve(values(**changes)), tmp_path / "run", overwrite=True)
    assert not trained_with and not (tmp_path / "run").exists()


def test_data_that_changed_since_the_run_began(trained_with, values, tmp_path):
    config = resolve(values())
    session.train(config, tmp_path, overwrite=False)
    (tmp_path / "results.json").unlink()
    dataset = setup.dataset(config)
    train = dataset.splits["train"].subset(np.arange(23))
    fewer = dataclasses.replace(dataset, splits=dataset.splits | {"train": train})
    run_folder.describe(tmp_path, config, fewer, {})
    with pytest.raises(UserError, match="the data has changed"):
        session.train(config, tmp_path, overwrite=False)
    assert len(trained_with) == 1


def test_what_is_trained_of_a_run_that_starts_from_weights(
    trained_with, made, values, tmp_path, capsys
):
    config = resolve(
        values(model={"init_from": str(made.workdir)}, optimizer={"train_only": "head"})
    )
    session.train(config, tmp_path / "run", overwrite=False)
    (((_, dataset, network, training, _), _),) = trained_with
    assert dataset.mean == made.dataset.mean
    kernel = training.initial["params"]["head"]["kernel"]
    expected = made.states[2].ema["params"]["head"]["kernel"]
    np.testing.assert_array_equal(kernel, expected)
    head = sum(
        np.prod(shape)
        for path, shape in shapes_of(network.model, (8, 8, 1)).items()
        if path[0] == "head"
    )
    results = run_folder.read_results(tmp_path / "run")
    assert results["trained_parameters"] == head == kernel.size + 10
    assert f"start from {made.workdir}" in capsys.readouterr().out


def test_other_hosts_write_nothing(trained_with, values, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(parallel, "is_main_host", lambda: False)
    session.train(resolve(values()), tmp_path / "run", overwrite=False)
    assert len(trained_with) == 1
    assert not (tmp_path / "run").exists() and capsys.readouterr().out == ""


# ---------------------------------------------------------------------- evaluate


@pytest.mark.parametrize(
    ("split", "checkpoint", "step"),
    [("test", "best", 2), ("train", "last", 4)],
)
def test_the_metrics_of_a_checkpoint(split, checkpoint, step, made, capsys):
    session.evaluate(made.workdir, split=split, checkpoint=checkpoint, output="json")
    found = json.loads(capsys.readouterr().out)
    examples = made.dataset.splits[split]
    images = made.network.normalize(jax.numpy.asarray(examples.images))
    logits = made.network.model.apply(made.states[step].ema, images, train=False)
    rows = np.arange(len(examples))
    losses = -log_softmax(np.asarray(logits, np.float64), -1)[rows, examples.labels]
    right = np.argmax(logits, -1) == examples.labels
    assert found == {
        "step": step,
        "examples": len(examples),
        f"{split}/loss": pytest.approx(losses.mean(), rel=1e-4),
        f"{split}/accuracy": pytest.approx(right.mean()),
    }


def test_what_cannot_be_evaluated(made, values):
    with pytest.raises(UserError, match=r"unknown split 'val'.*test, train"):
        session.evaluate(made.workdir, split="val")
    with pytest.raises(UserError, match="unknown checkpoint '3'"):
        session.evaluate(made.workdir, checkpoint="3")
    other = resolve(values(data={"batch_size": 4}))
    with pytest.raises(UserError, match="holds a run of another config"):
        session.evaluate(made.workdir, expected=other)


# ------------------------------------------------------------------------ probes


def test_probes_measure_the_last_map(made, monkeypatch, capsys):
    """Its mean over space, of the training examples and then of the test examples."""
    given = []

    def probe(features, labels):
        given.append((features, labels))
        return lambda test: given.append(test) or np.zeros(len(test), np.int32)

    monkeypatch.setitem(session.probe.PROBES, "knn", probe)
    session.probe_run(made.workdir, kind="knn", checkpoint="best", output="json")
    found = json.loads(capsys.readouterr().out)
    splits = made.dataset.splits
    share = float((splits["test"].labels == 0).mean())
    assert found == {"features": 2, "examples": 20, "knn/accuracy": share}
    (features, labels), test = given
    assert features.shape == (24, 2) and test.shape == (20, 2)
    np.testing.assert_array_equal(labels, splits["train"].labels)
    # The layer behind these means gives the logits.
    head = made.states[2].ema["params"]["head"]
    images = made.network.normalize(jax.numpy.asarray(splits["test"].images))
    logits = made.network.model.apply(made.states[2].ema, images, train=False)
    np.testing.assert_allclose(
        test @ head["kernel"] + head["bias"], logits, rtol=1e-4, atol=1e-5
    )


def test_a_probe_needs_weights(made, values):
    with pytest.raises(UserError, match=r"set --config\.model\.init_from=PATH"):
        session.probe_weights(made.config, kind="knn", output="json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label_kind": "pixels"}, "these have one label a pixel"),
        ({"classes": ("a",)}, "needs two classes at least"),
        ({"unseen": ("c",)}, "nobody in this test split was trained on"),
    ],
)
def test_data_that_cannot_be_probed(change, words, made, monkeypatch):
    split = Arrays(np.zeros((2, 8, 8, 1), np.uint8), np.zeros(2, np.int32))
    facts = {"classes": tuple("ab"), "mean": (0.5,), "std": (0.5,)} | change
    dataset = Dataset(
        dict.fromkeys(("train", "test"), split), image_shape=(8, 8, 1), **facts
    )
    with pytest.raises(UserError, match=words):
        session._probe("knn", made.config, dataset, made.network, {}, "json")


# ------------------------------------------------------------------------- export

RESNET = {
    "name": "resnet18",
    "width": 4,
    "stage_sizes": (1,),
    "stem": "small",
}


def test_a_run_becomes_a_file_with_torchvisions_names(values, tmp_path, few_digits):
    given = values()
    given["model"] = RESNET
    config = resolve(given)
    folder, path = tmp_path / "run", tmp_path / "w.safetensors"
    run_folder.describe(folder, config, few_digits, {})
    network = setup.network(config, few_digits)
    state = parallel.replicate(setup.fresh_state(config, network))
    metric = "test/accuracy"
    with Checkpoints(folder / "checkpoints", best_metric=metric) as checkpoints:
        checkpoints.save(3, state, Progress({}, metric).saved(), {metric: 0.5})
    said = session.export_weights(folder, path, checkpoint="best", overwrite=False)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    assert f"{parameters:,} parameters, 10 classes, from step 3 of {folder}" in said
    assert "warning: torchvision's own resnet18 does not load it" in said
    with safetensors.safe_open(path, framework="np") as file:
        facts = file.metadata()
        kernel = file.get_tensor("fc.weight")
    np.testing.assert_array_equal(kernel.T, state.params["head"]["kernel"])
    assert json.loads(facts["model"]) == "resnet18"
    assert json.loads(facts["image_shape"]) == [8, 8, 1]
    assert json.loads(facts["mean"]) == list(few_digits.mean)
    entries = torch_weights.entries_of("resnet18", network.model, (8, 8, 1))
    assert f"resnet18: {len(entries)} entries" in said
    with pytest.raises(UserError, match="exists; --overwrite replaces it"):
        session.export_weights(folder, path, checkpoint="best", overwrite=False)


def test_an_export_writes_nothing_where_it_cannot(made, tmp_path):
    path = tmp_path / "w.safetensors"
    with pytest.raises(UserError, match="no counterpart of 'plain'"):
        session.export_weights(made.workdir, path, checkpoint="best", overwrite=False)
    with pytest.raises(UserError, match=r"must be a \.safetensors file"):
        session.export_weights(
            made.workdir, tmp_path / "w.pth", checkpoint="best", overwrite=False
        )
    assert not list(tmp_path.iterdir())


def test_numbers_in_a_table():
    text = session._as_table(
        {"steps": 1234567, "loss": 0.123456, "hash": "abc", "peak": None, "big": 1e4}
    )
    assert [line.split() for line in text.splitlines()] == [
        ["steps", "1,234,567"],
        ["loss", "0.1235"],
        ["big", "10,000.0000"],
    ]


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
        assert "config.json is damaged" in err and "writes it again" in err
    code, out, err = call(*COMMAND, f"--workdir={folder}")
    assert code == 0, err
    (line,) = (line for line in out.splitlines() if line.startswith("warning: "))
    assert "config.json is damaged, and is written again" in line
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
    assert code == 0 and "metrics.jsonl is not as the run wrote it: 1 line" in err


def test_other_devices_are_said_as_a_run_goes_on(folder, call):
    (folder / "results.json").unlink()
    content = json.loads((folder / "config.json").read_text())
    content["device"]["count"] = 4
    content.pop("checksum")  # as earlier versions wrote it
    (folder / "config.json").write_text(json.dumps(content))
    code, out, _ = call(*COMMAND, f"--workdir={folder}")
    assert code == 0 and "began on a device count of 4 and goes on with 1" in out


@pytest.mark.parametrize("name", ["config.json", "results.json", "metrics.jsonl"])
def test_a_fifo_is_not_waited_for(name, folder, call):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    for more in ([], ["--overwrite"], ["--mode=eval"]):
        code, out, err = call(*COMMAND, f"--workdir={folder}", *more)
        assert code == 1 and out == "" and "is not a regular file" in err
