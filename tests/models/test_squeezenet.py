"""SqueezeNet: published counts, names, stems, heads and dilation."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from cnn_jax import models
from cnn_jax.analysis import costs
from cnn_jax.core.errors import UserError
from cnn_jax.data import images
from cnn_jax.data.augment import normalize
from cnn_jax.data.dataset import IMAGENET_MEAN, IMAGENET_STD
from cnn_jax.weights import pretrained

NAMES = ["squeezenet1_0", "squeezenet1_1"]


# torchvision's published figures.
@pytest.mark.parametrize(
    ("name", "parameters", "gmacs"),
    [("squeezenet1_0", 1_248_424, 0.819), ("squeezenet1_1", 1_235_496, 0.349)],
)
def test_counts(name, parameters, gmacs):
    table = costs.layer_table(models.create(name, num_classes=1000), (224, 224, 3))
    counted, macs = costs.totals(table)
    assert counted == parameters
    assert macs / 1e9 == pytest.approx(gmacs, rel=0.01)


# The paper's table 1 has 111 where 224x224 pixels give 109 without padding; from the
# first pooling on its sizes would be 55, 27, 13.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("squeezenet1_0", {"conv1": 109, "pool1": 54, "pool4": 27, "pool8": 13}),
        ("squeezenet1_1", {"conv1": 111, "pool1": 55, "pool3": 27, "pool5": 13}),
    ],
)
def test_poolings_round_up(name, expected):
    table = costs.layer_table(models.create(name, num_classes=1000), (224, 224, 3))
    sizes = {row.name: row.output_shape[0] for row in table}
    names = ("conv", "pool")
    found = {k: v for k, v in sizes.items() if k.startswith(names) and k != "pool"}
    assert found == expected
    assert sizes["head"] == 13
    assert [r.name for r in table if "squeeze" in r.name] == [
        f"fire{i}/squeeze" for i in range(2, 10)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_small_stem_takes_8x8_images(name, output_of):
    attributes = {"stem": "small", "width_multiplier": 0.01}
    model = models.create(name, num_classes=7, **attributes)
    assert output_of(model, (8, 8, 1)) == (2, 7)
    table = costs.layer_table(model, (32, 32, 3))
    sizes = {row.name: row.output_shape[0] for row in table}
    assert "pool1" not in sizes
    assert sizes["conv1"] == 32
    assert sizes["fire9/squeeze"] == 8


@pytest.mark.full
@pytest.mark.parametrize("head", ["gap", "conv_gap", "flatten_fc", "pyramid"])
@pytest.mark.parametrize("name", NAMES)
def test_heads(name, head, output_of):
    model = models.create(name, num_classes=7, head=head, width_multiplier=0.1)
    assert output_of(model, (64, 64, 3)) == (2, 7)


@pytest.mark.parametrize(
    ("name", "attributes", "output_stride", "size"),
    [
        pytest.param("squeezenet1_0", {}, 4, 75, marks=pytest.mark.full),
        ("squeezenet1_1", {"stem": "small"}, 1, 21),
    ],
)
def test_dilation(name, attributes, output_stride, size, assert_dilation_samples):
    model = models.create(name, num_classes=2, width_multiplier=0.05, **attributes)
    assert_dilation_samples(model, output_stride, size)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"stem": "cifar"}, "stem 'cifar'.*Known: imagenet, small"),
        ({"pool_after": (1, 10)}, "pool_after=.*only numbers from 1 to 9"),
        ({"stem_kernel": 0}, "stem_kernel=0 must be at least 1"),
        ({"width_multiplier": -1.0}, "width_multiplier=-1.0 must be above 0"),
    ],
)
def test_impossible_values(attributes, message):
    with pytest.raises(UserError, match=message):
        models.create("squeezenet1_0", num_classes=2, **attributes)


@pytest.mark.skipif(
    "SQUEEZENET1_0" not in os.environ,
    reason="SQUEEZENET1_0 names no file of the authors' weights in torchvision's names",
)
def test_the_authors_weights_know_a_cat():
    """scikit-image's cat: an Egyptian, a tiger or a tabby cat, as PyTorch 2.13 and
    torchvision 0.28 say of the same pixels and weights."""
    import skimage.data

    path = Path(os.environ["SQUEEZENET1_0"])
    picture = Image.fromarray(skimage.data.cat())
    pixels = images.fit(picture, (224, 224, 3), 224 / 256)
    model = models.create("squeezenet1_0", num_classes=1000)
    weights = pretrained.load(path, "squeezenet1_0", model, (224, 224, 3))
    x = normalize(jnp.asarray(pixels[None]), IMAGENET_MEAN[3], IMAGENET_STD[3])
    variables = jax.tree.map(jnp.asarray, weights.variables)
    logits = jax.jit(model.apply, static_argnums=2)(variables, x, False)[0]
    best = np.argsort(-np.asarray(logits))[:5]
    assert best.tolist() == [285, 282, 281, 287, 293]
    np.testing.assert_allclose(
        logits[best], [23.077192, 21.793148, 21.132454, 19.038065, 18.102156], rtol=1e-4
    )
