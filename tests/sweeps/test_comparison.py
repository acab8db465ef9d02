"""Runs that no sweep trained, as arms and seeds."""

import dataclasses

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.runs import config_json, run_folder
from cnn_jax.runs.resolve import resolve
from cnn_jax.sweeps import arms as arms_lib
from cnn_jax.sweeps import comparison, protocol, results, runner
from cnn_jax.sweeps.reports import plots


@pytest.fixture
def write(tmp_path, values, few_digits):
    """`write(folder, seed, group={key: value})`: the folder of a run without training.

    `dataset` replaces the data set, and `accuracy=None` is a run without results.
    """

    def write_run(name, seed=0, accuracy=0.5, dataset=few_digits, texts=None, **groups):
        config = resolve(values(**groups) | {"seed": seed}, texts)
        folder = tmp_path / name
        config_json.describe(folder, config, dataset, {})
        if accuracy is not None:
            run_folder.write_results(folder, {"step": 4, "test/accuracy": accuracy})
        return folder

    return write_run


@pytest.fixture
def compared(tmp_path):
    """`compared(*folders)`: the experiment."""
    return lambda *folders: comparison.of(folders, tmp_path / "comparison")


RATE = {"learning_rate": 0.2}


def names(experiment):
    return [arm.name for arm in experiment.arms]


def test_runs_that_differ_in_the_seed_are_an_arm(write, compared):
    folders = [
        write("fast", 3, optimizer=RATE),
        write("slow", 3),
        # Paths of the data and the number of workers change no result.
        write("fast again", 4, optimizer=RATE, data={"workers": 2}),
    ]
    found = compared(*folders)
    assert names(found) == ["learning_rate=0.2", "learning_rate=0.1"]
    assert [arm.against for arm in found.arms] == [None, "learning_rate=0.2"]
    assert found.arms[0].values == {"optimizer.learning_rate": 0.2}
    assert [(run.arm, run.seed, run.workdir) for run in found.runs] == [
        ("learning_rate=0.2", 3, folders[0]),
        ("learning_rate=0.2", 4, folders[2]),
        ("learning_rate=0.1", 3, folders[1]),
    ]
    assert all(run.command == () for run in found.runs)
    assert found.name == "comparison" and found.source is None
    assert f"| {folders[0]}, {folders[2]} |" in found.question
    assert found.command == (
        f"python -m cnn_jax.sweep --compare {folders[0]} {folders[1]} '{folders[2]}'"
    )


def test_arms_that_differ_in_two_keys_are_crossed(write, compared):
    """An option that is off is named by its value."""
    found = compared(
        *(
            write(f"{rate} {listed}", optimizer=rate, data=listed)
            for rate in ({}, RATE)
            for listed in ({}, {"augmentations": ("flip",)})
        )
    )
    rates = ("learning_rate=0.1", "learning_rate=0.2")
    assert found.grid == (
        ("augmentations=()", "augmentations=(-flip(probability=0.5)-,)"),
        rates,
    )


def test_arms_that_are_named_by_their_folders(write, compared):
    """Arms that differ in four keys are named by their folders."""
    more = {
        "optimizer": RATE,
        "train": {"steps": 5},
        "data": {"augmentations": ("flip",), "subset_seed": 3},
    }
    found = compared(
        write("few/seed0"), write("few/seed1", 1), write("many, [x]", **more)
    )
    assert names(found) == ["few", "many, -x-"]
    assert names(compared(write("a/net"))) == ["net"]
    found = compared(write("a/net"), write("b/net", **more))
    assert names(found) == ["net (1)", "net (2)"]
    assert all(arms_lib.NAME.fullmatch(name) for name in names(found))


def test_networks_with_other_keys(write, compared):
    """Keys that only one of them has do not name them."""
    other = write("mlp", texts={"model.name": "mlp"})
    found = compared(write("plain"), other)
    expected = ["activation=none, model=plain", "activation=relu, model=mlp"]
    assert names(found) == expected
    assert "model.hidden" in found.arms[1].values
    assert "model.hidden" not in found.arms[0].values


def test_keys_that_change_with_the_seed(write, compared):
    folders = [write(f"{k}", k, data={"subset_seed": k}) for k in (0, 1)]
    assert len(compared(*folders).arms) == 1
    folders.append(write("2", 2, data={"subset_seed": 0}))
    assert names(compared(*folders)) == ["subset_seed=0", "subset_seed=1"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({}, "run and .*other have the same config and the same seed, 0: leave"),
        ({"task": {"name": "multi_label"}}, "the tasks of these runs differ"),
        ({"data": {"name": "digit_scenes"}}, "the data .* differ .digits and digit_sc"),
        ({"test": 19}, "the numbers of test examples .* differ .20 and 19."),
        ({"classes": ("a",) * 10, "seed": 1}, "the classes of these runs differ"),
        ({"mean": (0.25,), "seed": 1}, r"the data differ \(mean\)"),
    ],
)
def test_runs_that_cannot_be_compared(other, message, write, compared, few_digits):
    other, changes = dict(other), {}
    if "test" in other:
        test = dataclasses.replace(
            few_digits.splits["test"], images=few_digits.splits["test"].images[:19]
        )
        changes["splits"] = {**few_digits.splits, "test": test}
        del other["test"]
    changes |= {key: other.pop(key) for key in ("classes", "mean") if key in other}
    dataset = dataclasses.replace(few_digits, **changes)
    one = write("run")
    with pytest.raises(UserError, match=message):
        compared(one, write("other", dataset=dataset, **other))


def test_folders_that_are_no_runs(write, compared, tmp_path):
    run, place = write("run"), tmp_path / "comparison"
    with pytest.raises(UserError, match="none is not a run's folder"):
        compared(run, tmp_path / "none")
    # `runs/*` also matches the folder of the comparison.
    assert len(compared(run, place).runs) == 1
    with pytest.raises(UserError, match="comparison is no run"):
        compared(place)
    with pytest.raises(UserError, match=r"--workdir=.*/run/x is in .*/run, the folder"):
        comparison.of([run], run / "x")
    place.touch()
    with pytest.raises(UserError, match="is a file"):
        compared(run)


def test_the_report(write, compared, tmp_path, capsys, monkeypatch):
    """Incomplete runs are listed, and nothing is written into the runs' folders."""
    monkeypatch.setattr(plots, "write", lambda *_: [])
    folders = [
        *(write(f"slow{k}", k, 0.5 + k / 10) for k in range(3)),
        *(write(f"fast{k}", k, 0.6 + k / 9, optimizer=RATE) for k in range(3)),
    ]
    folders.append(write("fast3", 3, None, optimizer=RATE))

    def content():
        return {
            path: (path.read_bytes(), path.stat().st_mtime_ns)
            for folder in folders
            for path in folder.rglob("*")
        }

    before, workdir = content(), tmp_path / "comparison"
    found = compared(*folders)
    with pytest.raises(UserError, match="1 of 7 runs are not complete"):
        runner.report(found, workdir, None, protocol.make(found))
    assert content() == before
    page = (workdir / "report.md").read_text()
    assert "| learning_rate=0.2/seed3 | unfinished |" in page
    assert "--compare" in page and "difference to learning_rate=0.1" in page
    assert (workdir / results.CSV).exists()
    assert "learning_rate=0.2" in capsys.readouterr().out
