"""Arms with the same cost as their base arms."""

import pytest

from cnn_jax import models
from cnn_jax.core.errors import UserError
from cnn_jax.runs.resolve import resolve
from cnn_jax.sweeps import budgets
from cnn_jax.sweeps.arms import Arm
from cnn_jax.sweeps.run import as_text
from cnn_jax.sweeps.step_times import Measurement, StepTime
from cnn_jax.training import config as config_lib
from cnn_jax.training import recipes

DIGITS = recipes.few_digits().to_dict()
BASE = Arm("3x3", {}, None)


def config_of(values, given=None):
    texts = {key: as_text(value) for key, value in values.items()}
    return resolve(given or DIGITS, texts)


@pytest.fixture
def solve(tmp_path):
    """`solve(*arms, timer=None)`: the arms after 3x3, and their budgets."""

    def solve(*arms, timer=None):
        found, equal = budgets.solved((BASE, *arms), config_of, tmp_path / "s", timer)
        assert found[0] == BASE
        return found[1:], equal

    return solve


@pytest.mark.parametrize("name", ["mlp", "resnet20"])
def test_costs_are_the_published_ones(name):
    published = models.published(name)
    values = recipes.cifar10().to_dict()
    if name == "mlp":
        values = DIGITS | {"model": {"name": "mlp", "num_classes": 26}}
    config = config_of({"model.name": name}, values)
    assert budgets.parameters(config) == published.parameters
    if published.macs:
        assert round(budgets.macs(config), -6) == published.macs


@pytest.mark.parametrize("iso", ["parameters", "macs"])
def test_widths_are_solved_for(iso, solve):
    arm = Arm("5x5", {"model.kernel_size": 5}, "3x3", iso)
    (found,), (budget,) = solve(arm)
    assert found.values == {"model.kernel_size": 5, "model.widths": budget.value}
    count = budgets.COUNTS[iso]
    assert budget.cost == count(config_of(found.values))
    assert budget.base_cost == count(config_of({}))
    assert abs(budget.cost / budget.base_cost - 1) <= 0.01
    first, second = budget.value
    assert abs(second - 2 * first) <= 2  # as in (16, 32)
    assert (budget.arm, budget.against) == ("5x5", "3x3")


def test_an_arm_may_equal_an_arm_that_is_solved_itself(solve):
    first = Arm("5x5", {"model.kernel_size": 5}, "3x3", "parameters")
    mlp = {"model.name": "mlp"}
    second = Arm("MLP", mlp, "5x5", "parameters", solve="model.hidden")
    _, (one, other) = solve(first, second)
    assert other.base_cost == one.cost and other.key == "model.hidden"
    assert isinstance(other.value, tuple)


WRONG = {
    "unknown": ({}, "model.widthz", r"Did you mean 'model\.widths'"),
    "no number": ({}, "model.layer", r"config\.model\.layer is 'conv'"),
    "zero": ({}, "model.random_filters", r"config\.model\.random_filters is 0"),
    "too coarse": (
        {"model.layer": "locally_connected"},
        None,
        r"the closest value, model\.widths=\(1, \d\), has [\d,]+ parameters, and 3x3 "
        r"has 16,794 .*Take more channels",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes(name, solve):
    values, key, message = WRONG[name]
    with pytest.raises(UserError, match=f"^arm 'wrong': .*{message}"):
        solve(Arm("wrong", values, "3x3", "parameters", key))


def test_a_mistake_in_the_base_arm(tmp_path):
    arms = Arm("base", {"model.widht": 1}, None), Arm("a", {}, "base", "macs")
    with pytest.raises(UserError, match=r"^arm 'base': unknown config key"):
        budgets.solved(arms, config_of, tmp_path, None)


@pytest.mark.parametrize("kind", [ValueError, TypeError])
def test_a_network_that_cannot_be_traced(kind, solve, monkeypatch):
    def fail(config):
        raise kind("too small")

    monkeypatch.setitem(budgets.COUNTS, "macs", fail)
    with pytest.raises(UserError, match=r"^arm 'a': .* not fit the data: too small"):
        solve(Arm("a", {}, "3x3", "macs"))


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"width": 4, "hidden": (3,)}, "model.width and model.hidden"),
        ({"channels": (3,)}, "no value with a known name"),
    ],
)
def test_a_model_without_one_width(attributes, words):
    config = config_lib.Config({"model": {"name": "mine", **attributes}})
    with pytest.raises(UserError, match=f"mine has {words}.*: name the value"):
        budgets._width(config)


# ---------------------------------------------------------------------- step times


def timer(log):
    """Measures times of the kernel's area times the widths, and logs each config."""

    def milliseconds(config):
        return sum(config.model.widths) * config.model.kernel_size**2 / 100

    def measure(base, config):
        log.append(config.model.widths)
        ours, theirs = map(milliseconds, (config, base))
        times = [StepTime(t, 0.9 * t, 1.1 * t) for t in (ours, theirs)]
        return Measurement(*times, "1 x cpu", {"jax": "1"})

    return measure


TIMED = Arm("5x5", {"model.kernel_size": 5}, "3x3", "step_time")


def test_step_times_are_measured_once(solve, capsys):
    log = []
    first = solve(TIMED, timer=timer(log))
    ((arm,), (budget,)) = first
    assert sum(arm.values["model.widths"]) in (17, 18) and budget.base_cost == 4.32
    assert "arm '5x5': with model.widths=(16, 32), a step" in capsys.readouterr().err
    assert log[-1] == budget.value and log.count(budget.value) == 2  # measured again
    assert solve(TIMED) == first  # from the file
    # Another arm is measured anew, and the first one stays.
    solve(Arm("pool", TIMED.values, "3x3", "step_time"), timer=timer(log))
    assert solve(TIMED) == first


@pytest.mark.parametrize("changed", [False, True])
def test_a_time_that_was_not_measured(changed, solve):
    arm = TIMED
    if changed:
        solve(TIMED, timer=timer([]))
        arm = Arm("5x5", {"model.kernel_size": 7}, "3x3", "step_time")
    with pytest.raises(UserError, match="Start the sweep without --dry_run"):
        solve(arm)


def test_times_that_cannot_be_equal(solve, tmp_path):
    values = {"model.kernel_size": 31}
    arm = Arm("31x31", values, "3x3", "step_time")
    with pytest.raises(UserError, match=r"not possible to 1%: .* ms per step"):
        solve(arm, timer=timer([]))
    assert not list(tmp_path.iterdir())


# -------------------------------------------------------------------------- report


def test_the_section_of_a_report(solve):
    _, equal = solve(
        Arm("5x5", {"model.kernel_size": 5}, "3x3", "parameters"),
        Arm("5x5 timed", TIMED.values, "3x3", "step_time"),
        timer=timer([]),
    )
    said, table = budgets.section(equal, "github")
    assert said.startswith("Equal budgets") and "90th percentile" in said
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines()]
    assert cells[2][:3] == ["5x5", "parameters", f"model.widths = {equal[0].value}"]
    assert cells[2][4] == "16,794 (3x3)" and cells[2][5].endswith("%")
    assert cells[3][4] == "4.32 (3.89 to 4.75) (3x3)"
    assert budgets.section((), "github") == []
