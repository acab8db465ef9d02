"""A run that goes on to a greater length."""

import json

import pytest

from cnn_jax import runs
from cnn_jax.core.errors import UserError
from cnn_jax.runs import config_json, extension, run_folder
from cnn_jax.runs.resolve import resolve

SHORT, LONG = ({"train": {"steps": n, "log_every_steps": 4}} for n in (4, 8))


def metrics(folder):
    """The lines of metrics.jsonl, without the measured speeds."""
    rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in row.items() if "per_second" not in k} for row in rows]


@pytest.fixture(scope="module")
def extended(values, tmp_path_factory):
    """A run of 4 steps that was extended to 8, and a run of 8 steps."""
    root = tmp_path_factory.mktemp("extended")
    runs.train(resolve(values(**SHORT)), root / "two parts")
    first = run_folder.read_results(root / "two parts")
    runs.train(resolve(values(**LONG)), root / "two parts", extend=True)
    runs.train(resolve(values(**LONG)), root / "one part")
    return root, first


def test_an_extended_run_equals_a_longer_run(extended):
    root, _ = extended
    two, one = metrics(root / "two parts"), metrics(root / "one part")
    assert [row for row in two if row["step"] > 4] == [r for r in one if r["step"] > 4]
    results = run_folder.read_results(root / "two parts")
    assert results["step"] == 8
    expected = run_folder.read_results(root / "one part")
    for key in ("val/loss", "test/loss", "best/val/accuracy", "config_hash"):
        assert results[key] == expected[key]


def test_config_json_records_the_part_before_the_extension(extended):
    root, first = extended
    (part,) = config_json.read(root / "two parts").content["before"]
    assert part["config"] == {"train.steps": 4}
    assert part["results"] == first and part["results"]["step"] == 4
    assert "before" not in config_json.read(root / "one part").content


def test_the_same_command_again_prints_the_results(extended, values, capsys):
    root, _ = extended
    before = (root / "two parts" / "config.json").read_bytes()
    runs.train(resolve(values(**LONG)), root / "two parts", extend=True)
    assert "is complete" in capsys.readouterr().out
    assert (root / "two parts" / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    ("groups", "longer"),
    [
        ({"train": {"steps": 9}}, True),
        ({"schedule": {"name": "cosine"}, "train": {"steps": 9}}, True),
        ({"optimizer": {"learning_rate": 0.01}}, True),
        ({"train": {"patience": 3}}, True),
        ({"optimizer": {"weight_decay": 0.1}, "train": {"steps": 9}}, False),
        ({"seed": 1}, False),
    ],
)
def test_the_refusal_names_extend_where_it_helps(made, values, groups, longer):
    seed = groups.pop("seed", 0)
    values = values(**{"optimizer": {"ema_decay": 0.5}} | groups) | {"seed": seed}
    values["optimizer"]["ema_decay"] = 0.5
    config = resolve(values)
    with pytest.raises(UserError, match="run of another config") as error:
        run_folder.begun(made.workdir, config)
    assert ("--extend" in str(error.value)) is longer
    if longer:
        assert run_folder.begun(made.workdir, config, extend=True).part["config"]
    else:
        with pytest.raises(UserError, match="run of another config"):
            run_folder.begun(made.workdir, config, extend=True)


def test_an_extension_needs_a_run(values, tmp_path):
    with pytest.raises(UserError, match="--extend: there is no run in"):
        runs.train(resolve(values()), tmp_path / "new", extend=True)
    assert not (tmp_path / "new").exists()
    with pytest.raises(UserError, match="--overwrite and --extend contradict"):
        runs.train(resolve(values()), tmp_path, overwrite=True, extend=True)


def test_a_length_that_is_reached_already(made, values, tmp_path):
    before = {p: p.read_bytes() for p in made.workdir.glob("*.*")}
    shorter = values(optimizer={"ema_decay": 0.5}, train={"steps": 3})
    with pytest.raises(UserError) as error:
        runs.train(resolve(shorter), made.workdir, extend=True)
    assert str(error.value) == (
        "the run has 4 steps already, and the extended run would have 3: set "
        "config.train.steps or config.train.epochs to a greater length."
    )
    assert {p: p.read_bytes() for p in made.workdir.glob("*.*")} == before


def test_a_run_that_ended_early_needs_another_patience(values):
    def config(patience, steps):
        return resolve(values(train={"steps": steps, "patience": patience}))

    before, sizes = config(2, 100), {"examples": 24, "done": 40}
    with pytest.raises(UserError, match="ended early at step 40 of 100, after 2 eval"):
        extension.check(config(2, 200), before, complete=True, **sizes)
    extension.check(config(2, 200), before, complete=False, **sizes)
    extension.check(config(5, 200), before, complete=True, **sizes)
    extension.check(config(None, 200), before, complete=True, **sizes)
    extension.check(config(2, 200), config(2, 40), complete=True, **sizes)
