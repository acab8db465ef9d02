"""Runs that start from weights of others, and train a part of the network."""

import json
import shutil

import numpy as np
import orbax.checkpoint as ocp
import pytest

from cnn_jax.runs import config_json
from cnn_jax.runs import trained as runs
from cnn_jax.weights import weight_files

# A network that torchvision does not have, in seconds.
TINY = [
    "--config=configs/mlp.py",
    "--config.model.name=plain",
    "--config.model.widths=(4, 8)",
    "--config.data.train_examples=24",
    "--config.data.test_examples=10",
    "--config.data.batch_size=8",
    "--config.schedule.warmup_steps=3",
    "--config.train.steps=4",
    "--config.eval.every_steps=2",
]


@pytest.fixture(scope="module")
def source(tmp_path_factory, run):
    """The folder of a complete run, with moving averages."""
    workdir = tmp_path_factory.mktemp("source") / "run"
    run("main", *TINY, "--config.optimizer.ema_decay=0.5", f"--workdir={workdir}")
    return workdir


def variables(workdir, checkpoint="last"):
    return runs.weights(workdir, checkpoint).arrays


@pytest.mark.full
def test_a_part_is_trained_and_the_rest_stays_to_the_bit(source, done, tmp_path):
    workdir = tmp_path / "run"
    out = done(
        "main",
        *TINY,
        f"--config.model.init_from={source}",
        "--config.optimizer.train_only=head|stage2.*",
        "--config.optimizer.reinitialize=head",
        f"--workdir={workdir}",
    )
    before, after = variables(source, "best"), variables(workdir)
    assert f"{len(before)} of {len(before)} entries" in out
    for key, value in before.items():
        part = key.split("/")[1]
        moves = part == "head" or part.startswith("stage2")
        assert np.array_equal(value, after[key]) != moves, key
    results = json.loads((workdir / "results.json").read_text())
    table = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line}
    assert table["head"][1:3] == ["0", table["head"][0]]  # drawn anew, and trained
    assert int(table["all"][2].replace(",", "")) == results["trained_parameters"]
    assert results["trained_parameters"] < results["parameters"]


def test_a_run_that_was_ended_goes_on_across_a_phase(done, call, saved, tmp_path):
    arguments = [
        *TINY,
        "--config.optimizer.train_only=head",
        "--config.optimizer.unfreeze=('stage2.*', 'stage1.*')",
        "--config.optimizer.unfreeze_every_steps=1",
        "--config.optimizer.layer_decay=0.7",
        "--config.checkpoint.every_steps=1",
        "--config.checkpoint.keep=9",
    ]
    whole, ended = tmp_path / "whole", tmp_path / "ended"
    done("main", *arguments, f"--workdir={whole}")
    shutil.copytree(whole, ended)
    (ended / "results.json").unlink()
    for step in (2, 3, 4):
        shutil.rmtree(ended / "checkpoints" / str(step))
    _, _, err = call("main", *arguments, f"--workdir={ended}")
    assert "resuming from step 1 of 4" in err
    assert saved(ended, 4) == saved(whole, 4)


def test_orbax_checkpoints_of_any_program(source, done, tmp_path):
    """A step's folder, and a tree that was saved by itself."""
    expected = variables(source)
    step = max((source / "checkpoints").glob("[0-9]*"), key=lambda p: int(p.name))
    found = weight_files.read(step)
    assert found.facts == {} and found.arrays.keys() == expected.keys()
    for key, value in expected.items():  # the averages, as evaluation has them
        np.testing.assert_array_equal(found.arrays[key], value)
    tree = {"params": {"head": {"bias": np.ones(3)}}, "step": np.int32(1)}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "tree", tree)
    assert weight_files.read(tmp_path / "tree").arrays.keys() == {"params/head/bias"}
    workdir = tmp_path / "run"
    out = done(
        "main",
        *TINY,
        f"--config.model.init_from={step}",
        "--config.optimizer.learning_rate=0",
        f"--workdir={workdir}",
    )
    assert f"start from {step}" in out
    for key, value in variables(workdir).items():
        if key.startswith("params"):
            np.testing.assert_array_equal(value, expected[key])


def test_the_normalization_travels(source, done, call, tmp_path):
    """Other digits have another mean, and the run keeps that of the weights."""
    arguments = [
        *TINY,
        "--config.data.train_examples=12",
        f"--config.model.init_from={source}",
        f"--workdir={tmp_path / 'run'}",
    ]
    out = done("main", *arguments)
    assert "warning" not in out
    theirs = config_json.read(source).dataset
    ours = config_json.read(tmp_path / "run").dataset
    assert (ours.mean, ours.std) == (theirs.mean, theirs.std)
    # Evaluation and another start know it too.
    done("evaluate", f"--workdir={tmp_path / 'run'}")
    assert "is complete" in done("main", *arguments)
    out = done("main", *arguments, "--config.data.normalization=half", "--overwrite")
    assert f"warning: {source} expects images normalized by mean (0." in out
    assert "uses (0.500) and (0.500)" in out
    assert config_json.read(tmp_path / "run").dataset.mean == (0.5,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--config.model.name=resnet20"], "not belong to resnet20, but to plain"),
        (["--config.model.widths=(4, 9)"], "has the shape"),
        (["--config.model.init_from=configs"], "configs is not a folder of weights"),
        (["--config.optimizer.reinitialize=x"], "reinitialize=x matches no parameter"),
        (["--config.optimizer.train_only=x"], "train_only=x matches no parameter"),
    ],
)
def test_what_does_not_fit(change, words, source, call, tmp_path):
    arguments = [*TINY, f"--config.model.init_from={source}"]
    if "resnet20" in change[0]:
        arguments = [a for a in arguments if "model.w" not in a]
    workdir = tmp_path / "run"
    code, _, err = call("main", *arguments, *change, f"--workdir={workdir}")
    assert code == 1 and words in err and "Traceback" not in err
    assert not workdir.exists()


def test_nothing_to_draw_anew(call, tmp_path):
    code, _, err = call("main", *TINY, "--config.optimizer.reinitialize=head")
    assert code == 1 and "reinitialize" in err and "init_from" in err


def test_a_damaged_run(source, call, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(source, broken)
    for path in broken.glob("checkpoints/*/state/d/*"):
        path.write_bytes(b"\x00" * path.stat().st_size)
    code, _, err = call("main", *TINY, f"--config.model.init_from={broken}")
    assert code == 1 and "Traceback" not in err and "checkpoint" in err
    shutil.rmtree(broken / "checkpoints")
    code, _, err = call("main", *TINY, f"--config.model.init_from={broken}")
    assert code == 1 and "there is no checkpoint" in err


@pytest.mark.full
def test_one_class_more(source, done, tmp_path):
    """The head starts afresh, and says why."""
    out = done(
        "main",
        *TINY,
        "--config.model.num_classes=11",
        "--config.optimizer.reinitialize=head|stage2.*",
        f"--config.model.init_from={source}",
        f"--workdir={tmp_path / 'run'}",
    )
    assert "left out: head: 10 classes in the file, 11 here" in out
    table = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line}
    assert table["head"][1] == "0" and table["stage1_layer1"][1] != "0"


HEAD = [*TINY, "--config.data.augmentations=()", "--config.optimizer.train_only=head"]


@pytest.mark.full
def test_maps_are_computed_once_where_the_head_alone_is_trained(call, source, tmp_path):
    """With the same result, and after an interruption too."""
    found = {}
    for choice in ("none", "false"):
        workdir = tmp_path / choice
        code, _, err = call(
            "main",
            *HEAD,
            f"--config.model.init_from={source}",
            f"--config.train.cache_features={choice}",
            "--config.checkpoint.every_steps=1",
            "--config.checkpoint.keep=9",
            f"--workdir={workdir}",
        )
        assert code == 0 and ("are cached" in err) == (choice == "none")
        found[choice] = variables(workdir)
    for key, value in found["none"].items():
        np.testing.assert_allclose(value, found["false"][key], rtol=1e-5, atol=1e-6)
    workdir = tmp_path / "none"
    (workdir / "results.json").unlink()
    for step in (2, 3, 4):
        shutil.rmtree(workdir / "checkpoints" / str(step))
    arguments = [*HEAD, f"--config.model.init_from={source}"]
    arguments += ["--config.checkpoint.every_steps=1", "--config.checkpoint.keep=9"]
    code, _, err = call("main", *arguments, f"--workdir={workdir}")
    assert code == 0 and "resuming from step 1" in err
    for key, value in variables(workdir).items():
        np.testing.assert_array_equal(value, found["none"][key])


def test_maps_that_cannot_be_kept(call, tmp_path):
    change = [
        "--config.train.cache_features=true",
        "--config.data.augmentations=crop(padding=1)",
    ]
    code, _, err = call("main", *HEAD, *change, f"--workdir={tmp_path / 'run'}")
    assert code == 1 and "is not possible: images are augmented" in err


@pytest.mark.full
@pytest.mark.parametrize("kind", ["linear", "knn"])
def test_probes_of_a_run_and_of_its_weights(kind, source, done):
    """The same, on the same data."""
    of_run = done("evaluate", f"--workdir={source}", f"--probe={kind}", "--format=json")
    of_weights = done(
        "evaluate",
        *TINY,
        f"--config.model.init_from={source}",
        f"--probe={kind}",
        "--format=json",
    )
    assert json.loads(of_run) == json.loads(of_weights)
    result = json.loads(of_run)
    assert result["examples"] == 10 and 0 <= result[f"{kind}/accuracy"] <= 1


@pytest.mark.full
def test_probes_of_people_who_were_never_seen(call, done, tmp_path):
    done("main", "--config=configs/faces.py", "--smoke", f"--workdir={tmp_path}")
    code, _, err = call("evaluate", f"--workdir={tmp_path}", "--probe=knn")
    assert code == 1 and "test split have no training images" in err


def test_a_network_without_a_map(trained, call):
    code, _, err = call("evaluate", f"--workdir={trained}", "--probe=knn")
    assert code == 1 and "before the head, but mlp has no such maps" in err


@pytest.mark.full
def test_the_config_starts_from_its_own_source(done, call, tmp_path):
    source, workdir = tmp_path / "source", tmp_path / "run"
    config = "--config=configs/transfer.py"
    done("main", f"{config}:source", "--smoke", f"--workdir={source}")
    flags = ["--smoke", f"--config.model.init_from={source}", f"--workdir={workdir}"]
    out = done("main", config, *flags)
    assert "left out: head: the file's classes are not the network's" in out
    assert config_json.read(workdir).dataset.classes == ("5", "6", "7", "8", "9")
    before, after = variables(source, "best"), variables(workdir)
    for key, value in before.items():
        assert np.array_equal(value, after[key]) != ("/head/" in key)
    missing = f"--config.model.init_from={tmp_path / 'none'}"
    code, _, err = call(
        "main", config, "--smoke", missing, f"--workdir={tmp_path / 'x'}"
    )
    assert code == 1 and f"there are no weights at {tmp_path / 'none'}" in err
