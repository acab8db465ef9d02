"""Steps take their turns, and times are what they are said to be."""

import pytest

from cnn_jax.benchmarks import timing


def test_turns():
    calls = []
    runs = [lambda _: calls.append("a"), lambda _: calls.append("b")]
    times = timing.alternate(runs, repeats=7, warmup=2)
    # Warm-up, then turns of three and four, with one more that is not timed.
    assert "".join(calls) == "aabb" + "a" * 4 + "b" * 4 + "a" * 5 + "b" * 5
    assert [len(found.seconds) for found in times] == [7, 7]


def test_percentiles():
    times = timing.Timing(tuple(i / 1e3 for i in [5, 3, 1, 2, 4, 10, 9, 8, 7, 6]))
    assert times.median_ms == pytest.approx(5.5)
    assert times.percentile_ms(10) == pytest.approx(1)
    assert times.percentile_ms(90) == pytest.approx(9)


def test_time_is_limited():
    now = iter(range(10**6))
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing.time, "perf_counter", lambda: float(next(now)))
        (found,) = timing.alternate([calls.append], repeats=50, warmup=1, seconds=1)
    assert len(found.seconds) == timing.FEWEST and len(calls) == timing.FEWEST + 1


def test_several_steps_are_one_sample():
    calls = []
    (found,) = timing.alternate([calls.append], repeats=2, warmup=1, steps=10)
    assert calls == [10, 10, 10] and len(found.seconds) == 2


def test_peak():
    assert timing.matmul_peak("float32") > 1


def test_flops():
    assert timing.flops(5, 3, "infer") == 30
    assert timing.flops(5, 3, "train") == 90
