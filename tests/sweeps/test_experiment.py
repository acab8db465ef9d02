"""An experiment's file as arms and runs, and what is wrong with one."""

import dataclasses

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import experiment


def load(path, workdir="sweep", **options):
    from pathlib import Path

    return experiment.load(
        str(path), Path(workdir), **({"overrides": {}, "seeds": (0,)} | options)
    )


def test_runs(experiment_file):
    found = load(
        f"{experiment_file}:few", seeds=(3, 5), overrides={"train.epochs": "1"}
    )
    assert found.name == "rates-few"
    assert found.question == "Does the rate matter?"
    assert [arm.name for arm in found.arms] == ["base", "wider, by half", "diverges"]
    assert [run.name for run in found.runs[:3]] == [
        "base/seed3",
        "base/seed5",
        "wider, by half/seed3",
    ]
    run = found.runs[2]
    assert run.config.seed == 3 and run.config.model.hidden == (12,)
    assert run.config.data.train_examples == 64 and run.config.train.epochs == 1.0
    assert str(run.workdir) == "sweep/wider, by half/seed3"
    assert found.command == (
        f"python -m cnn_jax.sweep --config={experiment_file}:few "
        "--config.train.epochs=1"
    )


def test_a_runs_command_makes_its_config(experiment_file, monkeypatch):
    """`main` resolves the command's flags to the config that the sweep expects."""
    from cnn_jax import command, main, runs

    seen = []
    monkeypatch.setattr(command, "runs", lambda: runs)
    monkeypatch.setattr(runs, "train", lambda *a, **k: seen.append((a, k)))
    for smoke in (False, True):
        for run in load(experiment_file, smoke=smoke, overwrite=smoke).runs:
            monkeypatch.setattr("sys.argv", ["main", *run.command[3:]])
            main.main()
            (config, workdir), options = seen.pop()
            assert (config, workdir) == (run.config, run.workdir)
            expected = {"overwrite": smoke, "extend": False}
            assert options == expected | {"tags": {"arm": run.arm}}


def test_a_run_may_have_a_title(experiment_file):
    run = load(experiment_file).runs[0]
    assert dataclasses.replace(run, title="trial 3").name == "trial 3"


def test_an_arm_may_depend_on_the_data(tmp_path):
    path = tmp_path / "sizes.py"
    path.write_text(
        "from cnn_jax.training import recipes\n\n\n"
        "def get_config(arg=None):\n    return recipes.digits()\n\n\n"
        "def sweep(arg='small'):\n    yield arg, {}\n"
    )
    assert load(path).arms[0].name == "small"
    assert load(f"{path}:large").arms[0].name == "large"


def test_an_error_in_a_conclusion_names_the_file(experiment_file):
    assert load(experiment_file).conclude is None
    with experiment_file.open("a") as file:
        file.write("\n\ndef conclude(values):\n    return values['nobody']\n")
    with pytest.raises(UserError, match=r"rates\.py.*KeyError"):
        load(experiment_file).conclude({})


def test_what_the_command_line_may_not_say(experiment_file):
    with pytest.raises(
        UserError, match=r"arm 'wider, by half' already sets config\.model\.hidden"
    ):
        load(experiment_file, overrides={"model.hidden": "(3,)"})
    with pytest.raises(UserError, match=r"matches no arm\. Known: base, wider"):
        load(experiment_file, only="narrower")
    with pytest.raises(UserError, match="no regular expression"):
        load(experiment_file, only="(")


FROM_SOURCE = """
from cnn_jax.training import recipes
from cnn_jax.sweeps.run import as_text, short_text

SEEDED = ("data.subset_seed",)


def get_config(arg=None):
    config = recipes.digits()
    config.data.classes = (0, 1) if arg == "source" else (2, 3)
    return config


def source(arg=None):
    return None if arg == "own" else "source"


def sweep():
    yield "a, x", {"data.train_examples": 0.5}
    yield "a, y", {"data.train_examples": 0.6}
    yield "b, x", {"data.train_examples": 20}
    yield "b, y", {"data.train_examples": 30}
"""


def test_runs_that_start_from_another(tmp_path):
    path = tmp_path / "chain.py"
    path.write_text(FROM_SOURCE)
    found = load(path, seeds=(4,))
    source, first = found.in_order[:2]
    assert source is found.source and source.name == "source" and source.is_source
    assert (
        source.config.data.classes == (0, 1) and str(source.workdir) == "sweep/source"
    )
    assert f"--config={path}:source" in source.command
    assert first.config.model.init_from == "sweep/source"
    assert first.config.seed == first.config.data.subset_seed == 4
    assert "init_from" not in found.command
    # One's own weights: none are to be trained.
    own = load(path, overrides={"model.init_from": "mine"})
    assert own.source is None and own.runs[0].config.model.init_from == "mine"
    assert load(f"{path}:own").in_order == load(f"{path}:own").runs
    assert load(f"{path}:own").runs[0].config.model.init_from is None


def test_a_config_and_a_grid(experiment_file):
    """The values are those of the command line."""
    grid = {"optimizer.learning_rate": ("0.1", "1e-2"), "model.hidden": ("(4,)", "9")}
    found = load("configs/mlp.py:lecture", grid=grid, seeds=(0,))
    assert found.name == "mlp-lecture-learning_rate-hidden"
    assert found.question == (
        "What is the effect of optimizer.learning_rate and model.hidden in "
        "configs/mlp.py:lecture?"
    )
    assert found.command == (
        "python -m cnn_jax.sweep --config=configs/mlp.py:lecture "
        "--grid=optimizer.learning_rate=0.1,1e-2 '--grid=model.hidden=(4,),9'"
    )
    rates = ("learning_rate=0.1", "learning_rate=1e-2")
    assert found.grid == (rates, ("hidden=(4,)", "hidden=9"))
    last = found.runs[-1].config
    assert (last.optimizer.learning_rate, last.model.hidden) == (0.01, (9,))
    with pytest.raises(UserError, match="has arms of its own: leave out --grid"):
        load(experiment_file, grid=grid)
    with pytest.raises(UserError, match=r"arm 'learning_rate=0\.1, hidden=\(4,\)' al"):
        load("configs/mlp.py", grid=grid, overrides={"model.hidden": "3"})
    # Its function `source` is a recipe.
    rate = {"optimizer.learning_rate": ("0.1", "0.2")}
    assert load("configs/transfer.py", grid=rate).source is None


def test_trials_have_a_seed_of_their_own(tmp_path):
    path = tmp_path / "found.py"
    path.write_text(FROM_SOURCE.split("def sweep")[0] + "def search(trial):\n    ...\n")
    found = load(f"{path}:own", trials=4, seeds=(0, 1))
    assert found.searching and found.searches[0].wanted == 4
    assert str(found.searches[0].folder) == "sweep/search"
    assert load(f"{path}:own").searches[0].wanted == experiment.TRIALS
    assert load(f"{path}:own", smoke=True).searches[0].wanted == 2
    assert found.command.endswith(" --trials=4")
    with pytest.raises(UserError, match="the seed 1000000 is the seed of the trials"):
        load(f"{path}:own", seeds=(0, experiment.TRIAL_SEED))


def test_a_sweep_reads_test(experiment_file):
    with pytest.raises(UserError, match=r"leave out config\.eval\.test=false"):
        load(experiment_file, overrides={"eval.test": "false"})


def test_a_grid(tmp_path):
    path = tmp_path / "chain.py"
    path.write_text(FROM_SOURCE)
    assert load(path).grid == (("a", "b"), ("x", "y"))
    assert load(path, only="a, ").grid is None  # one row
    assert load(path, only="a, |b, y").grid is None  # a hole


def seeds(found):
    return sorted({run.seed for run in found.runs})


def test_ten_seeds_where_a_run_takes_seconds(experiment_file):
    assert seeds(load(experiment_file, only="base", seeds=None)) == list(range(10))
    own = load(experiment_file, only="base", seeds=(4,))
    assert seeds(own) == [4] and own.default_seeds == tuple(range(10))
    few = load(experiment_file, only="base", seeds=None, smoke=True)
    assert seeds(few) == list(few.default_seeds) == [0, 1, 2]
    other = {"data.name": "folder", "data.dir": "none"}
    module = experiment.config_lib.load_module(str(experiment_file))
    given = str(experiment_file), module, {"data": {"name": "digits"}}
    assert experiment._default_seeds(*given, other, False) == (0, 1, 2)


def test_an_experiment_may_set_its_number_of_seeds(experiment_file):
    text = experiment_file.read_text()
    experiment_file.write_text(text + "\n\nSEEDS = 2\n")
    assert seeds(load(experiment_file, seeds=None)) == [0, 1]
    experiment_file.write_text(text + "\n\nSEEDS = (0, 1)\n")
    with pytest.raises(UserError, match=r"sets SEEDS = \(0, 1\): set a number of"):
        load(experiment_file)
