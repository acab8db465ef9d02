"""Which networks torchvision has too."""

import pytest

from cnn_jax import models
from cnn_jax.core.errors import UserError
from cnn_jax.weights import torch_names


def test_names_are_those_of_the_specs():
    assert torch_names.family("vgg11") is models.MODELS["vgg11"].names
    assert torch_names.FAMILIES["vgg11"] is models.MODELS["vgg11"].names
    assert "lenet5" not in torch_names.FAMILIES


@pytest.mark.parametrize("name", ["resnet20", "resnet", "flax.linen.Dense"])
def test_networks_that_torchvision_has_not(name):
    with pytest.raises(UserError, match=r"no counterpart of|is not a model"):
        torch_names.family(name)


def test_names_of_anybodys_model(tmp_path, monkeypatch):
    (tmp_path / "their_nets.py").write_text(
        "from cnn_jax.models import MODELS\nspec = MODELS['resnet18']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    expected = models.MODELS["resnet18"].names
    assert torch_names.family("their_nets.spec") is expected
