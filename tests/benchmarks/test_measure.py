"""One result of a benchmark: ratios, memory, and batches that do not fit."""

import builtins
import io
import sys
from types import SimpleNamespace

import pytest

from cnn_jax.benchmarks import measure, suite, timing
from cnn_jax.benchmarks.subject import Request
from cnn_jax.training import machine

QUICK = measure.Protocol(repeats=1, warmup=1)


@pytest.mark.full
def test_sweep(monkeypatch):
    request = suite.cifar("resnet20", 4, width=4, stage_sizes=(1,))
    results, found = measure.sweep(request, QUICK, 4)
    assert [row["batch_size"] for row in results] == [1, 1, 2, 2, 4, 4]
    assert found["largest"] == 4 and found["does_not_fit"] is None
    for mode, best in found["best"].items():
        speeds = {
            row["batch_size"]: row["images_per_second"]
            for row in results
            if row["mode"] == mode
        }
        assert best == max(speeds, key=speeds.get)
    # A machine with memory for two images.
    needed = {
        row["batch_size"]: row["peak_memory_bytes"]
        for row in results
        if row["mode"] == "train"
    }
    limit = (needed[2] + needed[4]) // 2
    monkeypatch.setattr(measure, "_available_bytes", lambda: limit)
    _, found = measure.sweep(request, QUICK, 2**20)
    assert (found["largest"], found["does_not_fit"]) == (2, 4)
    with pytest.raises(measure.DoesNotFit, match="a batch of 8 does not fit"):
        measure.report([request.at(8)], QUICK)


@pytest.fixture
def limited(monkeypatch):
    """`limited(most)`: nothing is run, and more than `most` images do not fit."""

    def limit(most):
        def measured(subject, protocol, modes=timing.MODES):
            if subject > most:
                raise measure.DoesNotFit(subject)
            # In training the speed falls with the batch, in inference it grows.
            return [
                {"mode": mode, "batch_size": subject}
                | {"images_per_second": subject ** (-1 if mode == "train" else 1)}
                for mode in modes
            ]

        def size_of(request):
            return int(request.overrides["data.batch_size"])

        monkeypatch.setattr(measure, "make", size_of)
        monkeypatch.setattr(measure, "measure", measured)

    return limit


@pytest.mark.parametrize(
    ("fits", "most", "sizes", "refused"),
    [(100, 8, [1, 2, 4, 8], None), (5, 100, [1, 2, 4], 8), (100, 1, [1], None)],
)
def test_batches_are_doubled_as_long_as_they_fit(fits, most, sizes, refused, limited):
    limited(fits)
    results, found = measure.sweep(Request(model="mlp"), QUICK, most)
    assert [row["batch_size"] for row in results[::2]] == sizes
    assert found == {
        "best": {"train": 1, "infer": sizes[-1]},
        "largest": sizes[-1],
        "does_not_fit": refused,
    }


def test_not_even_one_image_fits(limited):
    limited(0)
    with pytest.raises(measure.DoesNotFit, match="a batch of 1 does not fit"):
        measure.sweep(Request(model="mlp"), QUICK, 8)


def test_times_beside_a_peers():
    ours, theirs = timing.Timing((0.002, 0.004, 0.006)), timing.Timing((0.001,))
    found = measure.compared([ours, theirs], "torch")
    assert (found["step_ms"], found["step_ms_best"]) == (4.0, 2.0)
    assert found["peer"] == "torch" and found["peer_step_ms"] == 1.0
    assert (found["ratio"], found["ratio_of_best"]) == (4.0, 2.0)
    alone = measure.compared([ours], None)
    assert alone.keys() == found.keys() and alone["step_ms_p90"] == 6.0
    assert {alone[key] for key in alone if key.startswith(("peer", "ratio"))} == {None}


def test_memory_is_the_devices_own_record_where_it_was_broken(monkeypatch):
    analysis = SimpleNamespace(temp_size_in_bytes=70, argument_size_in_bytes=30)
    program = SimpleNamespace(memory_analysis=lambda: analysis)
    peaks = iter([None, None, 500, 500, 500, 900])
    monkeypatch.setattr(machine, "peak_memory", lambda: next(peaks))
    found = [measure.Memory().peak(program) for _ in range(3)]
    assert found == [(100, "compiler"), (100, "compiler"), (900, "device")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MemTotal: 9 kB\nMemAvailable:   123 kB\n", 123 * 1024),
        ("MemTotal: 9 kB\n", sys.maxsize),
        (None, sys.maxsize),
    ],
)
def test_memory_that_a_cpu_has_free(text, expected, monkeypatch):
    def opened(path):
        if text is None:
            raise FileNotFoundError(path)
        return io.StringIO(text)

    monkeypatch.setattr(machine, "memory_stats", lambda: {})
    monkeypatch.setattr(builtins, "open", opened)
    assert measure._available_bytes() == expected
    monkeypatch.setattr(machine, "memory_stats", lambda: {"bytes_limit": 77})
    assert measure._available_bytes() == 77


def test_results_with_what_they_were_measured_on():
    found = measure.described([{"mode": "train"}], QUICK)
    assert found.keys() == {"device", "versions", "results"}
    assert found["results"] == [{"mode": "train"}]
    assert found["versions"]["jax"] and found["versions"]["torch"] is None


def test_times_that_vary_are_said(capsys):
    measure.warn_unsteady("mlp, train", ", and so on")
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("warning: mlp, train: times vary")
    assert err.endswith("raise --repeats, and so on.\n")
