"""U-Net, whole and on other networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.core.errors import UserError

SMALL = {"plain": {"widths": (4, 8, 8)}, "vgg11": {"width": 4}}
SMALL |= {"resnet18": {"width": 4}, "squeezenet1_0": {"width_multiplier": 0.125}}


def variables_of(model, size, channels=3):
    x = jax.ShapeDtypeStruct((2, *size, channels), jnp.float32)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    return jax.eval_shape(lambda x: model.init_with_output(keys, x, train=True), x)


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_parameters_without_normalization_are_the_papers():
    """Figure 1: a pair of convolutions each way at five widths, up-convolutions of 2x2,
    and a 1x1 convolution to two classes."""
    width = [64 * 2**level for level in range(5)]
    conv = lambda n, m, side: side * side * n * m + m  # noqa: E731
    expected = sum(
        conv(before, after, 3) + conv(after, after, 3)
        for before, after in zip([1, *width], width, strict=False)
    )
    expected += sum(
        conv(2 * n, n, 2) + conv(2 * n, n, 3) + conv(n, n, 3) for n in width[:-1]
    )
    expected += conv(64, 2, 1)
    model = models.create("unet", num_classes=2, batch_norm=False)
    logits, variables = variables_of(model, (48, 48), channels=1)
    assert count(variables["params"]) == expected
    assert logits.shape == (2, 48, 48, 2) and logits.dtype == jnp.float32


@pytest.mark.parametrize("size", [(32, 32), (37, 50), (16, 31)])
def test_every_pixel_has_logits(size):
    model = models.create("unet", num_classes=3, width=4, dropout=0.5)
    logits, _ = variables_of(model, size)
    assert logits.shape == (2, *size, 3)


@pytest.mark.full
def test_a_skip_carries_what_the_poolings_lose():
    """A single pixel, which the bottom sees as one of 16x16, is told at its place."""
    model = models.create("unet", num_classes=1, width=4, batch_norm=False)
    x = jnp.zeros((1, 32, 32, 1))
    variables = model.init(jax.random.key(0), x, train=False)
    empty = model.apply(variables, x, train=False)
    seen = model.apply(variables, x.at[0, 9, 20].set(1), train=False)
    change = np.abs(seen - empty)[0, ..., 0]
    assert change.max() > 0
    assert change[5:14, 16:25].max() == change.max()


def test_too_small_images():
    model = models.create("unet", num_classes=2, width=4)
    with pytest.raises(UserError, match=r"8x20 are too small .* at least 16x16"):
        variables_of(model, (8, 20))


@pytest.mark.parametrize("attribute", ["width", "depth"])
def test_impossible_attributes(attribute):
    with pytest.raises(UserError, match=f"{attribute}=0 must be at least 1"):
        models.create("unet", num_classes=2, **{attribute: 0})
    with pytest.raises(UserError, match=r"dropout=1\.0 must be"):
        models.create("unet", num_classes=2, dropout=1.0)


@pytest.mark.parametrize("name", SMALL)
def test_on_a_backbone(name):
    """Logits of every pixel, of sizes that no stride divides too."""
    model = models.create(f"unet:{name}", num_classes=5, decoder_width=4, **SMALL[name])
    assert models.output_kind(model) == "maps"
    for size in [(96, 96), (75, 101)]:
        logits, variables = variables_of(model, size)
        assert logits.shape == (2, *size, 5)
    assert "head" not in variables["params"]["backbone"]
    ups = [module for module in variables["params"] if module.startswith("up")]
    assert len(ups) >= 2


def test_finest():
    attributes = {"num_classes": 5, "width": 4, "finest": 8}
    _, variables = variables_of(models.create("unet:resnet18", **attributes), (64, 64))
    modules = "backbone head norm16 norm32 norm8 up16 up8"
    assert sorted(variables["params"]) == modules.split()
    attributes["finest"] = 3
    with pytest.raises(UserError, match=r"finest=3 must be a stride .* 4, 8, 16, 32"):
        variables_of(models.create("unet:resnet18", **attributes), (64, 64))


def test_coarse_maps_reach_the_logits():
    """Also if the maps of the backbone are large, as those of a SqueezeNet are."""
    attributes = {"num_classes": 5, "decoder_width": 4, **SMALL["squeezenet1_0"]}
    model = models.create("unet:squeezenet1_0", **attributes)
    images = jax.random.normal(jax.random.key(0), (2, 48, 48, 3))
    variables = model.init(jax.random.key(1), images, train=True)
    apply = jax.jit(lambda v: model.apply(v, images, True, mutable=["batch_stats"])[0])
    params = variables["params"]
    params["backbone"]["conv1"]["kernel"] *= 1000
    logits = apply(variables)
    params["up4"]["enlarge"]["kernel"] *= 0
    assert np.abs(apply(variables) - logits).mean() > 0.05 * np.abs(logits).mean()


def test_synchronized_statistics_are_the_backbones():
    for name in ("resnet18", "squeezenet1_0"):
        synced = {"sync_batch_norm": True} if name == "resnet18" else {}
        model = models.create(f"unet:{name}", num_classes=2, **SMALL[name], **synced)
        assert model.sync_batch_norm == bool(synced)


def test_unknown_parts():
    with pytest.raises(UserError, match=r"network on a backbone 'unit'.*fcos.*unet"):
        models.create("unit:resnet18", num_classes=2)
    with pytest.raises(UserError, match="backbone of unet 'mlp'"):
        models.create("unet:mlp", num_classes=2)


def test_as_many_classes_as_the_backbone_was_published_with():
    assert models.create("unet:resnet18").num_classes == 1000
