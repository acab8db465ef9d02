"""How fast things grow, from what is measured."""

import numpy as np
import pytest
from PIL import Image

from cnn_jax.benchmarks import growth

ROWS = [
    {"axis": "depth", "value": value, "step_ms": 3.0 * value}
    | {"memory_bytes": 2**20 * value**2, "share_of_peak": share}
    for value, share in ((1, 0.25), (2, 0.4), (4, 0.5))
] + [
    {"axis": "examples", "value": value, "step_ms": 5.0}
    | {"memory_bytes": 2**20 * value, "share_of_peak": None}
    for value in (1000, 10_000)
]


def test_exponent():
    assert growth.exponent([1, 2, 4], [3, 12, 48]) == pytest.approx(2)
    assert growth.exponent([1, 2, 4], [5, 5, 5]) == pytest.approx(0)


def test_axes_change_one_thing():
    sizes = {
        axis: [
            (r.model, r.input_shape, r.overrides["data.batch_size"])
            for r in map(request_of, values)
        ]
        for axis, (values, request_of) in growth.AXES.items()
    }
    for axis, found in sizes.items():
        changed = [len(set(column)) for column in zip(*found, strict=True)]
        assert sorted(changed) == [1, 1, len(found)], axis


def test_a_request_is_a_resnet_on_cifar():
    config = growth.request(depth=32, batch_size=7).resolve()
    assert (config.model.name, config.model.num_classes) == ("resnet32", 10)
    assert config.data.batch_size == 7
    assert growth.request(size=48).input_shape == (48, 48, 3)


def test_loading_of_a_batch():
    row = growth.loading_row(300)
    assert (row["axis"], row["value"]) == ("examples", 300)
    assert row["memory_bytes"] == 300 * 32 * 32 * 3
    assert row["step_ms"] > 0 and row["share_of_peak"] is None


def test_rows_of_an_axis():
    found = growth.by_axis(ROWS)
    assert {axis: len(rows) for axis, rows in found.items()} == {
        "depth": 3,
        "examples": 2,
    }


def test_a_table_of_exponents():
    _, _, *lines = growth.markdown(ROWS).splitlines()
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
    assert cells == [
        [
            *("depth", "1 to 4", "3.00 to 12.00", "1.00"),
            *("1.0 MiB to 16.0 MiB", "2.00", "25% to 50%"),
        ],
        [
            *("examples", "1,000 to 10,000", "5.00 to 5.00", "0.00"),
            *("1,000.0 MiB to 10,000.0 MiB", "1.00", ""),
        ],
    ]


def test_a_picture_of_all_axes(tmp_path):
    growth.plot(ROWS, tmp_path / "growth.png")
    picture = Image.open(tmp_path / "growth.png")
    assert picture.size == (768, 672)
    assert np.asarray(picture.convert("L")).std() > 10
