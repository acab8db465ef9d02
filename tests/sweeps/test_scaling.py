"""Values that are scaled until they cost a target; costs are pure functions here."""

import itertools
import math

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from cnn_jax.sweeps import scaling
from cnn_jax.sweeps.scaling import Path, near, solve


def network(widths, channels=3, kernel=9):
    """The weights of convolutions, each from the channels of the one before."""
    sizes = [channels, *widths]
    return sum(kernel * a * b + b for a, b in itertools.pairwise(sizes))


def linear(value):
    return float(value)


tuples = st.lists(st.integers(1, 64), min_size=1, max_size=5).map(tuple)


@given(tuples, st.integers(1, 200))
def test_a_path_of_tuples_grows_one_entry_at_a_time(start, position):
    path = Path(start)
    position = max(position, path.ends[0])
    value, following = path.value(position), path.value(position + 1)
    assert sum(value) == position and min(value) >= 1
    assert sorted(b - a for a, b in zip(value, following, strict=True))[-2:] in (
        [0, 1],
        [1],
    )


@given(tuples, st.integers(1, 4))
def test_multiples_are_proportional(start, times):
    path = Path(start)
    assert path.value(times * sum(start)) == tuple(times * n for n in start)
    assert path.position(path.scale(7 + len(start))) == 7 + len(start)


def test_entries_share_a_sum_by_webster():
    """The textbook example of 53,000, 24,000 and 23,000 votes for seven seats; by
    d'Hondt, which favors large entries, it would be 4, 2 and 1."""
    assert Path((53, 24, 23)).value(7) == (3, 2, 2)


@given(st.integers(1, 500), st.integers(1, 500))
def test_an_integer_is_found_exactly(start, wanted):
    assert solve(linear, wanted, start) == (wanted, wanted)


@given(st.integers(1, 300), st.floats(1, 3), st.floats(1, 1e4))
@example(start=1, power=1.0, target=1002.0)  # beyond the largest scale
def test_no_integer_is_closer(start, power, target):
    def cost(n):
        return n**power

    value, found = solve(cost, target, start)
    assert found == cost(value)
    if near(found, target, scaling.ENOUGH):
        return
    best = abs(found - target)
    most = scaling.MOST * start
    assert value == most or best <= abs(cost(value + 1) - target)
    assert value == 1 or best <= abs(cost(value - 1) - target)


@given(st.floats(0.01, 10), st.floats(0.05, 20))
def test_a_number_is_within_the_tolerance(start, scale):
    target = (start * scale) ** 2
    value, found = solve(lambda x: x**2, target, start)
    assert near(found, target) and len(f"{value:.4g}") >= len(str(value)) - 2


def test_a_cost_in_stairs():
    """The cost has stairs, because a width multiplier's channels are rounded."""

    def cost(multiplier):
        return max(round(64 * multiplier), 1) ** 2

    assert math.isclose(solve(cost, 48**2, 1.0)[0], 0.75, rel_tol=0.01)


wide = st.lists(st.integers(8, 64), min_size=3, max_size=4).map(tuple)


@settings(max_examples=50)
@given(wide, st.floats(0.5, 8))
@example(start=(25, 24, 24), scale=0.5)  # so narrow that no widths are near
def test_widths_cost_the_target_and_stay_proportional(start, scale):
    target = network([scale * entry for entry in start])
    assume(min(start) * scale >= 12)
    calls = []

    def cost(widths):
        calls.append(widths)
        return network(widths)

    value, found = solve(cost, target, start)
    assert found == network(value) and scaling._proportional(value, start)
    if not near(found, target):
        around = itertools.product(*(range(n - 1, n + 2) for n in value))
        allowed = [w for w in around if scaling._proportional(w, start)]
        assert not any(near(network(w), target) for w in allowed)
    assert len(set(calls)) == len(calls) < 40
    assert solve(network, target, start) == (value, found)  # deterministic


def test_the_closest_widths_of_a_coarse_network():
    _, found = solve(network, 100, (1, 1))
    assert not near(found, 100)
    around = itertools.product(range(1, 6), repeat=2)
    best = min(abs(network(w) - 100) for w in around if max(w) - min(w) < 2)
    assert abs(found - 100) == best


@pytest.mark.parametrize("target", [0.5, 1e9])
def test_a_cost_that_does_not_depend_on_the_value(target):
    _, found = solve(lambda _: 5, target, 8)
    assert found == 5


def test_a_measured_cost_needs_few_measurements():
    noise = itertools.cycle([1.004, 0.997, 1.002, 0.995])
    calls = []

    def cost(widths):
        calls.append(widths)
        return network(widths) / network((20, 40)) * next(noise)

    value, found = solve(cost, 1.0, (16, 32), measured=True)
    assert near(found, 1.0) and near(network(value), network((20, 40)), 0.02)
    assert len(calls) < 8
