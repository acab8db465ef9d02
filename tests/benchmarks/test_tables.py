"""Results of benchmarks as tables."""

import pytest

from cnn_jax.benchmarks import tables

RESULT = {
    "model": "resnet20",
    "mode": "train",
    "batch_size": 128,
    "input_shape": [32, 32, 3],
    "dtype": "float32",
    "warmup": 3,
    "repeats": 20,
    "steps_per_repeat": 1,
    "compile_seconds": 12.34,
    "step_ms": 100.0,
    "step_ms_p10": 98.7,
    "step_ms_p90": 110.04,
    "images_per_second": 1280.4,
    "gflops_per_second": 1234.56,
    "matmul_gflops_per_second": 2000.0,
    "share_of_peak": 0.617,
    "peak_memory_bytes": 3 * 2**29,
    "peer": None,
}
PEER = {"peer": "torch", "peer_step_ms": 80.0, "peer_step_ms_p10": 79.0}
PEER |= {"peer_step_ms_p90": 81.0, "ratio": 1.25, "ratio_of_best": 1.2}
DEVICE = {"count": 1, "kind": "cpu", "cores": 2, "processor": "AMD EPYC"}
VERSIONS = {"python": "3.11", "jax": "0.10", "torch": None}
COLUMNS = ["100.00", "98.70-110.04", "1,280", "1,234.6", "61.7%", "1,536.0 MiB"]


def report_of(*results, **more):
    return {"device": DEVICE, "versions": VERSIONS, "results": list(results), **more}


def cells(line, by=None):
    parts = line.strip("|").split(by) if by else line.split("  ")
    return [part.strip() for part in parts if by or part.strip()]


def test_one_network():
    infer = RESULT | {"mode": "infer", "batch_size": 8, "repeats": 3}
    lines = tables.table(report_of(RESULT, infer)).splitlines()
    assert lines[:4] == [
        "resnet20 on 32x32x3, float32",
        "1 x cpu; 2 cores of AMD EPYC",
        "python 3.11, jax 0.10",
        "samples: 3 to warm up, 3-20 timed, of 1 step each; shown are the median and "
        "the range of the middle 80%; peak of a matrix product: 2,000 GFLOP/s",
    ]
    assert cells(lines[-2]) == ["train", "128", "12.3", *COLUMNS]
    assert cells(lines[-1])[:2] == ["infer", "8"]
    assert "ratio" not in lines[-4] and "peer" not in "\n".join(lines)


def test_beside_a_peer():
    text = tables.table(report_of(RESULT | PEER))
    assert "peer: torch" in text
    assert cells(text.splitlines()[-1])[-4:] == ["80.00", "79.00-81.00", "1.25", "1.20"]


@pytest.mark.parametrize(
    ("refused", "words"), [(8, "(8 does not)"), (None, "(none larger was tried)")]
)
def test_a_sweep(refused, words):
    found = {"best": {"train": 2, "infer": 4}, "largest": 4, "does_not_fit": refused}
    text = tables.table(report_of(RESULT, sweep=found))
    assert text.splitlines()[-1] == (
        "fastest: 2 in training, 4 in inference; largest that fits: 4 " + words
    )


def test_several_networks_in_markdown():
    """Whether they have a peer or not."""
    lines = tables.markdown([RESULT, RESULT | PEER]).splitlines()
    first = ["resnet20", "32x32x3", "float32", "128", "train", *COLUMNS]
    assert cells(lines[2], "|") == [*first, "", "", "", "", ""]
    assert cells(lines[3], "|") == [
        *first,
        *("torch", "80.00", "79.00-81.00", "1.25", "1.20"),
    ]
    assert len(cells(lines[0], "|")) == len(cells(lines[2], "|"))


INPUT = {
    "data": "folder",
    "examples": 1234,
    "in_memory": True,
    "image_shape": [8, 8, 3],
    "batch_size": 4,
    "workers": 2,
    "images_per_second": 12.345,
    "images_per_second_per_core": 6.1725,
    "memory": {"samples": 5, "batches": 1000, "first_bytes": 2**20}
    | {"largest_bytes": 2**21, "growth_bytes": -(2**19)},
}
LOADED = {key: RESULT[key] for key in RESULT if key.startswith("step_ms")}
LOADED |= {key: RESULT[key] for key in ("warmup", "repeats", "steps_per_repeat")}
LOADED |= INPUT


def test_the_loading_of_pictures():
    text = tables.input_table(report_of(LOADED | {"peer": None}))
    assert text.startswith("input of folder, held in memory\n")
    assert "the first of 5 samples over 1,000 batches" in text
    assert cells(text.splitlines()[-1]) == [
        *("folder", "1,234", "8x8x3", "4", "2", "100.00", "98.70-110.04"),
        *("12.3", "6.17", "1.0 MiB", "2.0 MiB", "-0.5 MiB"),
    ]
    theirs = LOADED | PEER | {"peer_images_per_second": 100.4, "memory": None}
    text = tables.input_table(report_of(theirs | {"in_memory": False}))
    assert "memory" not in text.splitlines()[0] and "peer: torch" in text
    assert cells(tables.input_markdown([theirs]).splitlines()[-1], "|")[9:] == [
        *("", "", "", "80.00", "79.00-81.00", "100", "1.25", "1.20"),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.012345, "0.0123"),
        (9.876, "9.88"),
        (99.96, "100"),
        (1234.5, "1,234"),
    ],
)
def test_three_digits(value, text):
    assert tables._three_digits(value) == text


def test_steps_of_a_sample():
    text = tables.samples([RESULT | {"steps_per_repeat": 10}])
    assert "20 timed, of 10 steps each" in text
