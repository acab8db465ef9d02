"""Our networks against the figures of others."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from cnn_jax import models
from cnn_jax.analysis import costs, overview
from cnn_jax.models import published
from cnn_jax.models.published import PUBLISHED

ROOT = Path(__file__).parents[2]
GOLDEN = Path(os.environ.get("CNN_JAX_TEST_GOLDEN", ROOT / "../shared/golden"))

# Names of torchvision that are another network's here.
TORCHVISION = {"alexnet": "alexnet_owt", "googlenet": "googlenet_bn"}
# Variants of the registered networks: (model, attributes, classes, input, parameters,
# 10^6 multiply-accumulates or None). He et al. 2016, table 6, give 0.27, 0.46, 0.66,
# 0.85, 1.7 million parameters with option A; the exact numbers are those of the usual
# implementations. AlexNet in one tower is the paper's without its groups.
VARIANTS = [
    ("resnet20", {"shortcut": "identity"}, 10, published.CIFAR, 269_722, 40.6),
    ("resnet32", {"shortcut": "identity"}, 10, published.CIFAR, 464_154, 68.9),
    ("resnet44", {"shortcut": "identity"}, 10, published.CIFAR, 658_586, 97.2),
    ("resnet56", {"shortcut": "identity"}, 10, published.CIFAR, 853_018, 125.5),
    ("resnet110", {"shortcut": "identity"}, 10, published.CIFAR, 1_727_962, 252.9),
    ("lenet5", {"padding": (2, 0)}, 10, (28, 28, 1), 61_706, None),
    ("lenet5", {"padding": (2, 2)}, 10, (8, 8, 1), 21_386, None),
    ("alexnet", {"padding": 2}, 1000, published.IMAGENET, 62_378_344, None),
    ("googlenet", {"auxiliary": False}, 1000, published.IMAGENET, 6_998_552, None),
]


@pytest.mark.parametrize("name", models.MODELS)
def test_figures_are_ours(name, table_of):
    summary = overview.summarize(name, table_of(name))
    assert summary.parameter_difference in (0, None)
    assert summary.macs_difference in (0, None)


def test_every_model_has_a_setting():
    assert models.MODELS.keys() <= PUBLISHED.keys()


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
    assert table.parameters == PUBLISHED["googlenet_bn"].parameters == 6_624_904
    assert table.parameters + table.training_only_parameters == 13_004_888
    table = table_of("inception_v3")
    assert PUBLISHED["inception_v3"].auxiliary
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


def test_torchvisions_own_table():
    path = GOLDEN / "torchvision_meta.json"
    if not path.exists():
        pytest.skip(f"no golden outputs in {GOLDEN} (set CNN_JAX_TEST_GOLDEN)")
    compared = set()
    for name, weights in json.loads(path.read_text()).items():
        name = TORCHVISION.get(name, name)
        if name not in PUBLISHED:
            continue  # networks for segmentation and detection
        for meta in weights.values():
            figures = PUBLISHED[name]
            assert figures.parameters == meta["num_params"], name
            assert figures.macs == round(meta["gmacs"] * 1000) * 10**6, name
            compared.add(name)
    claimed = {n for n, p in PUBLISHED.items() if p.source.startswith("torchvision")}
    assert compared == claimed
