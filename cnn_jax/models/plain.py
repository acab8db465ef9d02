"""A plain network with exchangeable parts, for ablations.

It has stages of equal layers with subsampling between the stages. Each layer is
followed by a normalization and an activation: batch normalization and ReLU, if the
config does not choose others. Module names: `filters`, `stage1_layer1` (with `norm`
inside), `pool1`, ...; `Classifier` names the modules of the head.
"""

import dataclasses
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.core.ranges import Cells, Count, Index, Layers, Share
from cnn_jax.layers.windows import Size, per_dimension
from cnn_jax.models import strides
from cnn_jax.models.classifier import Logits, NormalizedClassifier
from cnn_jax.models.spec import CIFAR, ModelSpec, unpublished

Maps = Float[Array, "batch height width channels"]
Out = Float[Array, "batch out_height out_width features"]

# The possible convolutions of a layer, all with the attributes of `Conv`.
CONVOLUTIONS = {
    "conv": layers.Conv,
    "locally_connected": layers.LocallyConnected,
    "separable": layers.SeparableConv,
    "flattened": layers.FlattenedConv,
    "bottleneck": layers.Conv,
}
LAYERS = (*CONVOLUTIONS, "fire", "inception")
SUBSAMPLE = ("max", "average", "strided", "none")
POOLS = {"max": layers.MaxPool, "average": layers.AvgPool}
BRANCHES = {"1x1": 1, "3x3": 3, "5x5": 5, "pool": 1}  # with their kernel sizes


class ConvNorm(nn.Module):
    """A convolution and its normalization, if any: `conv`, `norm`.

    Attributes:
      kind: the class of the convolution, with the attributes of `Conv`.
      padding: None keeps the size of the map at stride 1.
    """

    features: int
    kernel_size: int
    kind: Callable[..., nn.Module]
    norm: layers.NormDef | None
    strides: Size = 1
    padding: Size | None = None
    dilation: Size = 1
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Maps) -> Out:
        padding = self.padding
        if padding is None:
            spread = per_dimension(self.dilation, 2)
            padding = tuple(self.kernel_size // 2 * d for d in spread)
        x = self.kind(
            self.features,
            self.kernel_size,
            self.strides,
            padding,
            self.dilation,
            use_bias=self.norm is None,
            dtype=self.dtype,
            name="conv",
        )(x)
        return layers.normalized(self.norm, x, "norm")


class PlainNet(NormalizedClassifier, kw_only=True):
    """A convolutional network without shortcuts, to change one thing at a time.

    Attributes:
      widths: channels of the layers of each stage.
      depth: layers of each stage.
      layer: "conv"; "locally_connected", whose kernels are not shared over space;
        "separable" or "flattened" convolutions; "bottleneck", a 1x1 convolution to
        `reduction` times the channels and the activation before the convolution
        (Szegedy et al. 2015); "fire" (Iandola et al. 2016), which reduces to
        `reduction` times the channels; or "inception", parallel `branches` that share
        the channels evenly.
      kernel_size: kernel size of the convolutions, odd; "fire" and "inception" have
        their own.
      dilations: the dilation of each layer in order, or one for all layers; for "conv"
        and "bottleneck".
      subsample: the subsampling between stages: "max" or "average" pooling of 2x2,
        "strided" (the first layer of the next stage has stride 2), or "none".
      shared: share one kernel among all layers of a stage that keep the number of
        channels; each layer has its own normalization (Eigen et al. 2014). For "conv",
        with one dilation for all layers.
      reduction: channels of the 1x1 convolutions in "bottleneck" and "fire", and before
        the 3x3 and 5x5 convolutions of "inception", as a share of the input's channels.
        None leaves the 1x1 convolutions out, for "inception" only.
      branches: branches of "inception": "1x1", "3x3", "5x5", and "pool" (3x3 max
        pooling and a 1x1 convolution).
      filters: hand-made filters (names of `layers.FILTERS`) that are applied to the
        images first, and followed by normalization.
      random_filters: the number of additional random 3x3 filters, drawn from N(0, 1/9)
        with a fixed seed.
      learn_filters: learn the filters; these are their initial values. If false, they
        are constants.

    Raises:
      UserError: an attribute has an invalid value.
    """

    default_head_width: ClassVar[tuple[int, ...]] = (128,)

    widths: tuple[Count, ...] = (32, 64)
    depth: Layers = 2
    layer: str = "conv"
    kernel_size: Cells = 3
    dilations: tuple[Cells, ...] = (1,)
    subsample: str = "max"
    shared: bool = False
    reduction: Share | None = 0.25
    branches: tuple[str, ...] = tuple(BRANCHES)
    filters: tuple[str, ...] = ()
    random_filters: Index = 0
    learn_filters: bool = False

    def validate(self) -> None:
        self.check("layer", LAYERS)
        self.check("subsample", SUBSAMPLE)
        for branch in self.branches:
            if branch not in BRANCHES:
                raise unknown("branch", branch, BRANCHES)
        for name in self.filters:
            if name not in layers.FILTERS:
                raise unknown("filter", name, layers.FILTERS)
        if self.kernel_size % 2 == 0:
            raise UserError(f"kernel_size={self.kernel_size} must be odd.")
        count = self.depth * len(self.widths)
        if len(self.dilations) not in (1, count):
            raise UserError(
                f"dilations={tuple(self.dilations)} needs either one entry for all "
                f"layers or {count} entries, one for each layer."
            )
        if self.reduction is None and self.layer in ("bottleneck", "fire"):
            raise UserError(
                f"layer={self.layer} needs a value for reduction, such as 0.25."
            )
        if self.shared and len(self.dilations) > 1:
            raise UserError(
                f"dilations={tuple(self.dilations)} needs exactly one entry with "
                "shared=True, because all layers use the same kernel."
            )
        plain = {field.name: field.default for field in dataclasses.fields(PlainNet)}
        for name, owners in {
            "kernel_size": tuple(CONVOLUTIONS),
            "dilations": ("conv", "bottleneck"),
            "shared": ("conv",),
            "reduction": ("bottleneck", "fire", "inception"),
            "branches": ("inception",),
        }.items():
            if self.layer not in owners and getattr(self, name) != plain[name]:
                raise UserError(
                    f"{name}={getattr(self, name)} belongs to layer="
                    f"{' or '.join(owners)}, not to layer={self.layer}: leave {name} "
                    "out or set another layer."
                )
        if self.subsample == "strided" and self.layer not in CONVOLUTIONS:
            raise UserError(
                f"subsample=strided is not possible with layer={self.layer}, which "
                "does not begin with one convolution: set subsample=max or average."
            )
        if self.learn_filters and not (self.filters or self.random_filters):
            raise UserError(
                "learn_filters=True needs filters to learn: set filters or "
                "random_filters."
            )

    @property
    def subsampling(self) -> tuple[int, ...]:
        between = 0 if self.subsample == "none" else len(self.widths) - 1
        return (2,) * between

    @nn.compact
    def __call__(self, x: Maps, train: bool) -> Logits:
        size = x.shape[1:-1]
        norm = self.normalization(train)
        unit = partial(ConvNorm, norm=norm, dtype=self.dtype)
        if self.filters or self.random_filters:
            drawn = np.random.default_rng(0).normal(
                0, 1 / 3, (self.random_filters, 3, 3)
            )
            bank = layers.FilterBank(
                (*self.filters, *drawn),
                learned=self.learn_filters,
                dtype=self.dtype,
                name="filters",
            )
            x = layers.normalized(norm, bank(x), "filters_norm")
        steps = iter(self.plan())
        step, dilations = strides.Step(), itertools.cycle(self.dilations)
        for stage, width in enumerate(self.widths, start=1):
            if stage > 1 and self.subsample != "none":
                step = next(steps)
                if self.subsample in POOLS:
                    kind = POOLS[self.subsample]
                    x = strides.pool(kind, x, 2, step, name=f"pool{stage - 1}")
                    step = step.rest()
            shared = None
            for i in range(1, self.depth + 1):
                name, rate = f"stage{stage}_layer{i}", next(dilations)
                at = {
                    "strides": step.strides,
                    "dilation": tuple(d * rate for d in step.before),
                }
                if self.shared and x.shape[-1] == width and max(step.strides) == 1:
                    x, shared = self._tied(x, width, at, shared, stage, norm, name)
                else:
                    x = self._layer(x, width, at, unit, name)
                step = step.rest()
        return self.classify(x, train, size=size)

    def _layer(self, x: Maps, width: int, at: dict, unit: Any, name: str) -> Out:
        """Applies one layer and its activation.

        Args:
          width: channels of the output.
          at: strides and dilation of the layer, by name.
          unit: makes a `ConvNorm`.
          name: the module's name.
        """
        reduced = max(round(x.shape[-1] * (self.reduction or 1)), 1)
        if self.layer == "fire":
            conv = partial(unit, kind=layers.Conv)
            half = width // 2
            return layers.Fire(
                reduced,
                half,
                width - half,
                conv,
                at["dilation"],
                activation=self.activate,
                name=name,
            )(x)
        if self.layer == "inception":
            return self._inception(x, width, at["dilation"], unit, reduced, name)
        kind = CONVOLUTIONS[self.layer]
        if self.layer == "bottleneck":
            x = self.activate(unit(reduced, 1, layers.Conv, name=f"{name}_reduce")(x))
        return self.activate(unit(width, self.kernel_size, kind, name=name, **at)(x))

    def _inception(self, x, width, dilation, unit, reduced, name) -> Out:
        """Applies the branches and concatenates their outputs.

        If the channels cannot be split evenly, the first branches get one more.

        Args:
          width: channels of the output.
          unit: makes a `ConvNorm`.
          reduced: channels of the 1x1 convolution before larger windows.
          name: the prefix of the modules' names.
        """
        count, outputs = len(self.branches), []
        for i, branch in enumerate(self.branches):
            features = width // count + (i < width % count)
            y = x
            if branch == "pool":
                y = layers.max_pool(y, 3, 1, padding=dilation, dilation=dilation)
            elif BRANCHES[branch] > 1 and self.reduction is not None:
                y = unit(reduced, 1, layers.Conv, name=f"{name}_reduce{branch}")(y)
                y = self.activate(y)
            y = unit(
                features,
                BRANCHES[branch],
                layers.Conv,
                dilation=dilation,
                name=f"{name}_{branch}",
            )(y)
            outputs.append(self.activate(y))
        return jnp.concatenate(outputs, axis=-1)

    def _tied(self, x, width, at, shared, stage, norm, name) -> tuple[Out, Any]:
        """Applies a layer with the stage's shared kernel and its own normalization.

        Args:
          width: channels of the output.
          at: strides and dilation of the layer, by name.
          shared: the stage's shared convolution; None makes this convolution.
          stage: the number of the stage.
          norm: makes the normalization.
          name: the layer's name.

        Returns:
          The output and the shared convolution.
        """
        if shared is None:
            padding = tuple(self.kernel_size // 2 * d for d in at["dilation"])
            shared = layers.Conv(
                width,
                self.kernel_size,
                padding=padding,
                dilation=at["dilation"],
                use_bias=norm is None,
                dtype=self.dtype,
                name=f"stage{stage}_shared",
            )
        x = layers.normalized(norm, shared(x), f"{name}_norm")
        return self.activate(x), shared


TINY = {"widths": (4, 8), "depth": 2}

VARIANTS = {
    "plain": ModelSpec(
        PlainNet,
        unpublished(CIFAR, 10, "nobody: the experiments change its parts"),
        tiny=TINY,
    ),
    # Yu and Koltun 2016: the context module after a front end, here a small one.
    "context_net": ModelSpec(
        partial(PlainNet, head="context"),
        unpublished(
            CIFAR, 21, "Yu and Koltun 2016, on VGG-16: 64 C^2 weights of the module"
        ),
        tiny=TINY,
    ),
}
