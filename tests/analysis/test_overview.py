"""The table of all architectures beside the figures of others, and its page."""

import dataclasses
import json
from pathlib import Path

import pytest

from cnn_jax import models
from cnn_jax.analysis import costs, overview
from cnn_jax.core.errors import UserError
from cnn_jax.models.spec import CIFAR, IMAGENET

ROOT = Path(__file__).parents[2]
PAGE = "docs/reference/networks.md"
COMMAND = f"python -m cnn_jax.summary --all --update={PAGE}"

# Variants of the registered networks: (model, attributes, classes, input, parameters,
# 10^6 multiply-accumulates or None). He et al. 2016, table 6, give 0.27, 0.46, 0.66,
# 0.85, 1.7 million parameters with option A; the exact numbers are those of the usual
# implementations. AlexNet in one tower is the paper's without its groups.
VARIANTS = [
    ("resnet20", {"shortcut": "identity"}, 10, CIFAR, 269_722, 40.6),
    ("resnet32", {"shortcut": "identity"}, 10, CIFAR, 464_154, 68.9),
    ("resnet44", {"shortcut": "identity"}, 10, CIFAR, 658_586, 97.2),
    ("resnet56", {"shortcut": "identity"}, 10, CIFAR, 853_018, 125.5),
    ("resnet110", {"shortcut": "identity"}, 10, CIFAR, 1_727_962, 252.9),
    ("lenet5", {"padding": (2, 0)}, 10, (28, 28, 1), 61_706, None),
    ("lenet5", {"padding": (2, 2)}, 10, (8, 8, 1), 21_386, None),
    ("alexnet", {"padding": 2}, 1000, IMAGENET, 62_378_344, None),
    ("googlenet", {"auxiliary": False}, 1000, IMAGENET, 6_998_552, None),
]


# Of all others, the full tests compute the table.
QUICK = ("mlp", "resnet18", "resnet20", "resnet50", "resnet56", "googlenet_bn")
QUICK += ("inception_v3", "drn_c_26", "r3d_18")


@pytest.fixture(scope="module")
def summaries(table_of):
    return [overview.summarize(name, table_of(name)) for name in QUICK]


@pytest.mark.full
def test_the_page_has_the_table_as_it_is(table_of):
    summaries = [overview.summarize(name, table_of(name)) for name in models.MODELS]
    text = (ROOT / PAGE).read_text()
    assert COMMAND in text
    _, _, rest = text.partition(overview.BEGIN + "\n")
    block, end, _ = rest.partition(overview.END)
    assert end and block.strip() == overview.render(summaries, "markdown"), COMMAND


def test_json(summaries):
    rows = {row["name"]: row for row in json.loads(overview.render(summaries, "json"))}
    assert rows.keys() == set(QUICK)
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
    assert cells(summaries, "inception_v3") == [
        "inception_v3",
        "299x299x3",
        "23,834,568 + 3,326,696 in training",
        "27,161,264 in all",
        "5,713,216,096",
        "95",
        "1311 / 32",
        "torchvision",
    ]
    assert cells(summaries, "drn_c_26")[3] == "21,126,584"
    assert cells(summaries, "resnet56")[3] == "-"
    assert cells(summaries, "r3d_18")[6] == "109x219x219 / 8x16x16"
    assert cells(summaries, "mlp")[6] == "-"


def test_a_difference_has_a_sign(summaries):
    (resnet,) = [s for s in summaries if s.name == "resnet18"]
    other = dataclasses.replace(resnet, parameters=resnet.parameters - 5)
    assert cells([other], "resnet18")[3] == "11,689,512 (differs by -5)"
    other = dataclasses.replace(resnet, macs=resnet.macs + 2 * 10**6)
    assert cells([other], "resnet18")[4] == "1,816,073,344 (differs by +2,000,000)"


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
    with pytest.raises(UserError, match="lacks the lines"):
        overview.update(path, "new")
    assert path.read_text() == "no marks"


# ------------------------------------------------------------ the figures of others


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.full)
        for name in models.MODELS
    ],
)
def test_figures_are_ours(name, table_of):
    summary = overview.summarize(name, table_of(name))
    assert summary.parameter_difference in (0, None)
    assert summary.macs_difference in (0, None)


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "attributes", "classes", "shape", "parameters", "macs"), VARIANTS
)
def test_variants(name, attributes, classes, shape, parameters, macs):
    model = models.create(name, num_classes=classes, **attributes)
    table = costs.layer_table(model, shape)
    assert table.parameters == parameters
    assert table.training_only_parameters == 0
    if macs is not None:
        assert table.macs / 10**6 == pytest.approx(macs, rel=0.01)


def test_auxiliary_heads_are_counted_apart(table_of):
    table = table_of("googlenet_bn")
    assert table.parameters == models.published("googlenet_bn").parameters == 6_624_904
    assert table.parameters + table.training_only_parameters == 13_004_888
    table = table_of("inception_v3")
    assert models.published("inception_v3").auxiliary
    assert (table.parameters, table.training_only_parameters) == (23_834_568, 3_326_696)


def test_differences(table_of):
    summary = overview.summarize("resnet20", table_of("resnet20"))
    published = dataclasses.replace(
        summary.published, parameters=summary.parameters - 3, macs=40_000_000
    )
    changed = dataclasses.replace(summary, published=published)
    assert changed.parameter_difference == 3
    # 40,813,184 is 41 million, rounded as published figures are.
    assert changed.macs_difference == 1_000_000
    published = dataclasses.replace(published, parameters=None, macs=None)
    changed = dataclasses.replace(summary, published=published)
    assert changed.parameter_difference is changed.macs_difference is None
