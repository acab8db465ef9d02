"""The settings in which others published the networks."""

import json
import os
from pathlib import Path

import pytest

from cnn_jax import models
from cnn_jax.models import published
from cnn_jax.models.published import PUBLISHED

ROOT = Path(__file__).parents[2]
GOLDEN = Path(os.environ.get("CNN_JAX_TEST_GOLDEN", ROOT / "../shared/golden"))

# Names of torchvision that are another network's here.
TORCHVISION = {"alexnet": "alexnet_owt", "googlenet": "googlenet_bn"}


def test_every_model_has_a_setting():
    assert models.MODELS.keys() <= PUBLISHED.keys()


def test_a_setting_is_one_that_its_network_takes():
    for name in models.MODELS:
        setting = published.setting(name)
        assert models.classifies(name) == (setting.num_classes is not None), name
        if models.classifies(name):
            created = models.create(name)
            assert created.num_classes == setting.num_classes
        clips = len(setting.input_shape) == 4
        assert clips == ("frames" in models.attributes(name)), name
        assert setting.source and min(setting.input_shape) > 0


@pytest.mark.parametrize("upper", models.ON_BACKBONES)
def test_a_network_on_a_backbone_has_its_setting(upper):
    assert published.setting(f"{upper}:resnet18") is PUBLISHED["resnet18"]


def test_the_multi_layer_perceptron_of_the_lecture():
    """One hidden layer of 100 units between 16x16 pixels and 26 letters."""
    mlp = PUBLISHED["mlp"]
    assert (mlp.input_shape, mlp.num_classes) == ((16, 16, 1), 26)
    assert mlp.parameters == 256 * 100 + 100 + 100 * 26 + 26


@pytest.mark.parametrize("name", ["fcn_resnet50", "deeplabv3_resnet50"])
def test_the_auxiliary_head_of_segmentation(name):
    """torchvision counts it in evaluation: 3x3 from 1024 to 256 channels and 1x1 to 21
    classes on the 65x65 pixels of an image of 520 at an output stride of 8."""
    figures = PUBLISHED[name]
    assert figures.input_shape == (520, 520, 3) and figures.num_classes == 21
    first, last = 3 * 3 * 1024 * 256, 256 * 21
    assert figures.auxiliary_macs == 65**2 * (first + last)
    assert figures.auxiliary and "9,991 M" in figures.source


def test_figures_are_whole_millions():
    for name, figures in PUBLISHED.items():
        assert (figures.macs or 0) % 10**6 == 0, name
        assert figures.parameters is None or figures.parameters > 0, name


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
