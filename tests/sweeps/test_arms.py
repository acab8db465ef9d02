"""The arms of an experiment's file, and mistakes in the file."""

from pathlib import Path

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import experiment
from cnn_jax.sweeps.arms import Arm


def load(path, **options):
    return experiment.load(
        str(path), Path("sweep"), **({"overrides": {}, "seeds": (0,)} | options)
    )


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("^base$", ["base"]),
        ("wider", ["base", "wider, by half"]),
        ("e", ["base", "wider, by half", "diverges"]),
    ],
)
def test_the_base_arm_is_always_there(experiment_file, pattern, names):
    assert [arm.name for arm in load(experiment_file, only=pattern).arms] == names


ISO = (
    "def sweep():\n    from cnn_jax.sweeps.arms import Arm\n    yield 'a', {}\n"
    "    yield Arm('b', "
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "no function sweep()"),
        ("def sweep():\n    return []", "yields no arm"),
        ("def sweep():\n    yield 'a', {}\n    yield 'a', {}", "two arms called 'a'"),
        ("def sweep():\n    yield 'a/b', {}", "cannot be the name of a folder"),
        ("def sweep():\n    yield '.', {}", "cannot be the name of a folder"),
        ("def sweep():\n    yield 'a'", "yield a name, a dict"),
        ("def sweep():\n    yield 'a', {}, 'b'", "no earlier arm is called 'b'"),
        ("def sweep():\n    yield 'a', {'seed': 1}", "sets the seed"),
        ("def sweep():\n    yield 'source', {}", "calls an arm 'source'"),
        ("def sweep():\n    yield 'a', {'model.widht': 1}", "arm 'a': unknown config"),
        ("def sweep():\n    yield 'a', 1 / 0", "line 8, failed: ZeroDivisionError"),
        (ISO + "iso='area')", "iso to one of parameters, macs, step_time"),
        (ISO + "solve='model.width')", "without iso"),
        (ISO + "against=None, iso='macs')", "no base arm whose cost it could equal"),
    ],
)
def test_mistakes(tmp_path, body, message):
    path = tmp_path / "wrong.py"
    head = (
        "from cnn_jax.training import recipes\n\n\n"
        "def get_config(arg=None):\n    return recipes.digits()\n\n"
    )
    path.write_text(head + body)
    with pytest.raises(UserError) as error:
        load(path)
    assert message in str(error.value)


def test_arms_may_be_compared_to_others_than_the_first(tmp_path):
    path = tmp_path / "pairs.py"
    path.write_text(
        "from cnn_jax.training import recipes\n\n\n"
        "def get_config(arg=None):\n    return recipes.digits()\n\n\n"
        "def sweep():\n"
        "    for seed in (8, 20):\n"
        "        yield f'{seed} a', {'data.test_examples': seed}, None\n"
        "        yield f'{seed} b', {'data.test_examples': seed + 1}, f'{seed} a'\n"
    )
    against = {arm.name: arm.against for arm in load(path).arms}
    assert against == {"8 a": None, "8 b": "8 a", "20 a": None, "20 b": "20 a"}
    assert [arm.name for arm in load(path, only="20 b").arms] == ["20 a", "20 b"]


TUNE = "tune=('optimizer.learning_rate',)"


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        (f"Arm('a', {TUNE}), Arm('b')", "tunes arm 'a', but not arm 'b', which it is"),
        (f"Arm('a'), Arm('b', {TUNE})", "tunes arm 'b', but not arm 'a', which it is"),
        ("Arm('a', tune='data.val'),", "tune='data.val': write a tuple of keys"),
        (f"Arm('search', {TUNE}),", "calls an arm 'search', but the folder of this"),
    ],
)
def test_what_is_tuned_is_fair(tmp_path, arms, message):
    path = tmp_path / "tuned.py"
    path.write_text(HEAD + f"def sweep():\n    return [{arms}]\n")
    with pytest.raises(UserError, match=message):
        load(path)


def test_arms_that_are_not_compared_may_be_tuned_or_not(tmp_path):
    path = tmp_path / "tuned.py"
    path.write_text(
        HEAD
        + f"def sweep():\n    yield Arm('a', {TUNE})\n"
        f"    yield Arm('b', tune={{'optimizer.momentum': (0.5, 0.9)}})\n"
        "    yield Arm('search', against=None)\n".replace("search", "c")
    )
    assert [bool(arm.tune) for arm in load(path).arms] == [True, True, False]


def test_a_search_is_a_sweep_of_two_arms(tmp_path):
    path = tmp_path / "found.py"
    path.write_text(HEAD + "def search(trial, arg='x'):\n    return {arg: 1}\n")
    for trials, name in ((None, "30 trials"), (1, "1 trial")):
        baseline, best = load(f"{path}:few", trials=trials).arms
        assert (baseline.name, best.name) == ("baseline", f"best of {name}")
        assert best.against == "baseline" and best.tune(None) == {"few": 1}
        assert load(path).arms[1].tune(None) == {"x": 1}
    path.write_text(path.read_text() + "def sweep():\n    yield 'a', {}\n")
    with pytest.raises(UserError, match=r"both sweep\(\) and search\(trial\)"):
        load(path)


HEAD = (
    "from cnn_jax.sweeps.arms import Arm\nfrom cnn_jax.training import recipes\n\n\n"
    "def get_config(arg=None):\n    return recipes.digits()\n\n\n"
)


def test_a_tuple_is_short_for_an_arm(tmp_path):
    path = tmp_path / "arms.py"
    path.write_text(
        HEAD + "def sweep():\n    yield 'a', {}\n    yield Arm('b')\n"
        "    yield Arm('c', {'data.val': 0}, against='b')\n"
        "    yield Arm('d', against=None)\n"
    )
    assert load(path).arms == (
        Arm("a", {}, None),
        Arm("b", {}, "a"),
        Arm("c", {"data.val": 0}, "b"),
        Arm("d", {}, None),
    )
