"""The number of parts of a batch, from the memory that a step needs."""

import json

import pytest

from cnn_jax import runs
from cnn_jax.core.errors import UserError
from cnn_jax.runs import accumulation
from cnn_jax.runs.resolve import resolve
from cnn_jax.training import machine, setup

AUTO = {"train": {"accumulate": "auto", "steps": 4}}


@pytest.fixture
def training(values, few_digits):
    config = resolve(values(**AUTO))
    return setup.training(setup.network(config, few_digits), 24)


@pytest.fixture
def needs(monkeypatch):
    """`needs(limit)`: a device of so many megabytes; a step in one part needs 800."""
    tried = []

    def memory(training):
        tried.append(training.accumulate)
        return 800 * 10**6 // training.accumulate

    def with_limit(limit):
        monkeypatch.setattr(
            machine, "memory_stats", lambda: {"bytes_limit": limit * 10**6}
        )
        return tried

    monkeypatch.setattr(accumulation, "step_memory", memory)
    return with_limit


@pytest.mark.parametrize(("limit", "parts"), [(1000, 1), (800, 2), (300, 4)])
def test_the_smallest_number_of_parts_that_fits(limit, parts, training, needs):
    tried = needs(limit)
    assert accumulation.settled(training, None).accumulate == parts
    assert tried == [1, 2, 4][: len(tried)]


def test_nothing_fits(training, needs):
    needs(10)
    with pytest.raises(UserError, match="with 1 examples at a time needs"):
        accumulation.chosen(training)


def test_more_parts_need_less_memory(values, few_digits):
    """The compiled programs say so, and the number of the config is not measured."""
    model = {"name": "plain", "widths": (16,), "depth": 2}
    found = {}
    for parts in (1, 8):
        config = resolve(
            values(model=model, data={"image_size": 32}, train={"accumulate": parts})
        )
        network = setup.network(config, setup.dataset(config))
        found[parts] = setup.training(network, 24)
        assert accumulation.settled(found[parts], None) is found[parts]
    assert accumulation.step_memory(found[8]) < 0.5 * accumulation.step_memory(found[1])


def test_a_run_keeps_its_number(values, needs, tmp_path, capsys):
    needs(300)
    runs.train(resolve(values(**AUTO)), tmp_path / "auto")
    assert "the batch is computed in 4 parts" in capsys.readouterr().out
    content = json.loads((tmp_path / "auto" / "config.json").read_text())
    assert content["accumulate"] == 4
    assert content["config"]["train"]["accumulate"] == "auto"
    longer = {"train": AUTO["train"] | {"steps": 6}}
    tried = needs(10_000)
    tried.clear()
    runs.train(resolve(values(**longer)), tmp_path / "auto", extend=True)
    assert tried == []
