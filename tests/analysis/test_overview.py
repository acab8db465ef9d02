"""The table of all architectures, and its copy in the README."""

import dataclasses
import json
from pathlib import Path

import pytest

from cnn_jax import models
from cnn_jax.analysis import overview
from cnn_jax.errors import UserError

README = Path(__file__).parents[2] / "README.md"
COMMAND = "python -m cnn_jax.summary --all --update=README.md"


@pytest.fixture(scope="module")
def summaries(table_of):
    return [overview.summarize(name, table_of(name)) for name in models.MODELS]


def test_the_readme_has_the_table_as_it_is(summaries):
    text = README.read_text()
    assert COMMAND in text
    _, _, rest = text.partition(overview.BEGIN + "\n")
    block, end, _ = rest.partition(overview.END)
    assert end and block.strip() == overview.render(summaries, "markdown"), COMMAND


def test_json(summaries):
    rows = {row["name"]: row for row in json.loads(overview.render(summaries, "json"))}
    assert rows.keys() == models.MODELS.keys()
    resnet = rows["resnet50"]
    assert resnet["parameters"] == resnet["published"]["parameters"] == 25_557_032
    assert resnet["parameter_difference"] == resnet["macs_difference"] == 0
    assert resnet["receptive_field"] == [427, 427]
    assert resnet["output_stride"] == [32, 32]
    assert resnet["weighted_layers"] == 50
    assert rows["mlp"]["receptive_field"] is None
    assert rows["resnet56"]["published"]["parameters"] is None
    assert rows["resnet56"]["parameter_difference"] is None


def cells(summaries, name):
    lines = overview.render(summaries, "markdown").splitlines()
    (line,) = [line for line in lines if line.startswith(f"| {name} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_rows_of_text(summaries):
    assert cells(summaries, "inception_v3")[:12] == [
        "inception_v3",
        "299x299x3",
        "23,834,568",
        "3,326,696",
        "5,713,216,096",
        "95",
        "1311",
        "32",
        "27,161,264 in all",
        "0",
        "5,713 M",
        "0",
    ]
    drn = cells(summaries, "drn_c_26")
    assert drn[8:12] == ["21,126,584", "0", "-", "-"]
    assert cells(summaries, "r3d_18")[6:8] == ["109x219x219", "8x16x16"]
    assert cells(summaries, "mlp")[6:8] == ["-", "-"]


def test_a_difference_has_a_sign(summaries):
    (resnet,) = [s for s in summaries if s.name == "resnet18"]
    other = dataclasses.replace(resnet, parameters=resnet.parameters - 5)
    assert cells([other], "resnet18")[9] == "-5"
    other = dataclasses.replace(resnet, macs=resnet.macs + 2 * 10**6)
    assert cells([other], "resnet18")[11] == "+2,000,000"


def test_the_terminal_has_no_sources(summaries):
    assert "torchvision" in overview.render(summaries, "markdown")
    assert "torchvision" not in overview.render(summaries)


def test_unknown_format(summaries):
    with pytest.raises(UserError, match="format 'yaml'"):
        overview.render(summaries, "yaml")


def test_update_replaces_what_is_between_the_marks(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"above\n{overview.BEGIN}\nold\n{overview.END}\nbelow\n")
    for table in ("new", "newer"):
        overview.update(path, table)
        assert path.read_text() == (
            f"above\n{overview.BEGIN}\n{table}\n{overview.END}\nbelow\n"
        )


def test_update_needs_marks(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("no marks")
    with pytest.raises(UserError, match="has no lines"):
        overview.update(path, "new")
    assert path.read_text() == "no marks"
