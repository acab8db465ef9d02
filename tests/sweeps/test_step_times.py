"""Step times of two arms, and the file that keeps the values of equal step time."""

import dataclasses
import os

import pytest

from cnn_jax.benchmarks import timing
from cnn_jax.core.errors import UserError
from cnn_jax.runs.resolve import resolve
from cnn_jax.sweeps import local, step_times
from cnn_jax.sweeps.local import Slot
from cnn_jax.sweeps.step_times import Measurement, StepTime, Stopwatch
from cnn_jax.training import recipes
from cnn_jax.training.config import Config


def measurement(arm, base):
    times = (StepTime(t, t - 1, t + 1) for t in (arm, base))
    return Measurement(*times, "1 x cpu", {"jax": "1"})


def test_a_ratio_and_ranges():
    found = measurement(6.0, 4.0)
    assert found.ratio == 1.5 and found.overlaps
    assert not measurement(6.1, 4.0).overlaps and not measurement(4.0, 6.1).overlaps


@pytest.mark.parametrize("value", [3, 0.5, (1, 2)])
def test_what_is_kept(value, tmp_path):
    file, found = tmp_path / "sweep" / "budgets.json", measurement(6.0, 4.0)
    assert step_times.read(file, "a", ["x"]) is None
    step_times.write(file, "a", ["x"], value, found)
    step_times.write(file, "b", ["y"], 7, found)
    assert step_times.read(file, "a", ["x"]) == (value, found)
    assert step_times.read(file, "b", ["x"]) is None
    assert [path.name for path in file.parent.iterdir()] == ["budgets.json"]


def test_a_damaged_file(tmp_path):
    (tmp_path / "budgets.json").write_text("{")
    with pytest.raises(UserError, match=r"budgets\.json is damaged"):
        step_times.read(tmp_path / "budgets.json", "a", [])


@pytest.mark.full
def test_steps_of_two_configs(monkeypatch):
    monkeypatch.setattr(
        step_times, "PROTOCOL", step_times.measure.Protocol(repeats=1, warmup=0)
    )
    values = recipes.few_digits().to_dict() | {"model": {"name": "mlp"}}
    base = resolve(values, {"data.batch_size": "2", "model.hidden": "(2,)"})
    found = step_times.compare(base, base)
    assert found.base.median > 0 and found.arm.low <= found.arm.high
    assert "cpu" in found.device and found.versions["jax"]


def test_a_base_arm_is_compiled_once(monkeypatch):
    made = []
    monkeypatch.setattr(step_times.subject, "of_config", lambda config: config)
    monkeypatch.setattr(
        step_times.measure,
        "training_run",
        lambda config: made.append(config) or (lambda steps: None),
    )
    monkeypatch.setattr(
        timing, "alternate", lambda runs, **_: [timing.Timing((0.001,))] * 2
    )
    step_times._program.cache_clear()
    base, *others = (Config({"seed": seed}) for seed in range(4))
    for config in others:
        assert step_times.compare(base, config).ratio == 1
    assert made == [base, *others]
    step_times._program.cache_clear()


def where(base, config):
    """Stands in for `compare`: the device is the process that would measure."""
    place = f"{os.getpid()} {os.environ.get('NUMBER')} {base.seed} {config.seed}"
    return dataclasses.replace(measurement(1.0, 1.0), device=place)


@pytest.mark.full
def test_a_process_of_its_own_measures(monkeypatch):
    monkeypatch.setattr(step_times, "compare", where)
    slots = [Slot(environment={"NUMBER": "3"}), Slot()]
    monkeypatch.setattr(local, "slots", lambda cores: slots)
    configs = [Config({"seed": seed}) for seed in range(2)]
    with Stopwatch() as stopwatch:
        first = stopwatch(*configs).device.split()
        second = stopwatch(*configs[::-1]).device.split()
    assert first[1:] == ["3", "0", "1"] and second[1:] == ["3", "1", "0"]
    assert str(os.getpid()) != first[0] == second[0] and "NUMBER" not in os.environ


def test_nothing_starts_without_a_measurement(monkeypatch):
    monkeypatch.setattr(local, "slots", lambda _: pytest.fail("asked for slots"))
    with Stopwatch():
        pass
