"""The base class of classifiers: heads, and output strides by dilation."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core import fit, ranges
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.core.ranges import Cells, Count, Rate
from cnn_jax.layers import initializers
from cnn_jax.models import outputs, pixel_heads, strides
from cnn_jax.models.exchangeable import Exchangeable

Maps = Float[Array, "batch *space channels"]
# Logits for each image or clip, or for each pixel with a head of `pixel_heads`. The
# heads "embedding" and "cam" return dicts.
Logits = Float[Array, "batch *pixels classes"] | dict[str, Float[Array, "batch _"]]

# torchvision leaves most classifiers at PyTorch's default, uniform in +-1/sqrt(fan_in);
# here the bias starts at zero.
head_init = initializers.variance_scaling(1 / 3, "fan_in", "uniform")
# He et al. 2015, for fully connected layers followed by ReLU.
hidden_init = initializers.variance_scaling(2.0, "fan_in", "normal")

# The heads, each with the attributes that belong to it.
HEADS: dict[str, tuple[str, ...]] = {
    "gap": (),
    "gmp": (),
    "conv_gap": (),
    "flatten_fc": ("head_width", "head_grid"),
    "pyramid": ("head_width", "pyramid_levels"),
    "fcn": ("head_width",),
    "deeplab": ("head_width", "aspp_rates"),
    "context": (),
    "large_context": (),
    "embedding": ("head_grid", "embedding_features"),
    "cam": (),
}
OF_HEADS = tuple(dict.fromkeys(itertools.chain(*HEADS.values())))
# The variable collection for a last map that was computed before.
CACHED = "cached"
# Fields of the layers after the last map. A backbone does not use these layers.
NOT_OF_BACKBONES = ("head", *OF_HEADS, "dropout", "auxiliary", "auxiliary_dropout")
# The kind of output of each head, and the heads to set for each kind.
KINDS = dict.fromkeys(HEADS, "logits") | dict.fromkeys(pixel_heads.WIDTHS, "maps")
KINDS |= {"embedding": "embedding", "cam": "class_maps"}
CHANGES = {
    kind: f"take head={fit.either([head for head in HEADS if KINDS[head] == kind])}"
    for kind in dict.fromkeys(KINDS.values())
}
MAY_BE_EMPTY = {"head_width", "flattened", "filters"}


def cached(features: Maps | None) -> dict[str, Any]:
    """Returns variables that make a network apply only its head, to `features`.

    The layers before the head are traced but not compiled, because nothing uses their
    results. If `features` is None, there are no such variables, and the network applies
    all layers.
    """
    return {} if features is None else {CACHED: {"features": features}}


def scaled(channels: int, multiplier: float, divisor: int = 1) -> int:
    """Returns `channels * multiplier`, rounded to a multiple of `divisor`.

    The result is at least `divisor`. Rounding never takes away more than a tenth (the
    rule of MobileNet's reference implementation).

    Raises:
      UserError: the multiplier is not positive and finite.
    """
    if not 0 < multiplier < math.inf:
        raise UserError(f"width_multiplier={multiplier} must be above 0 and finite.")
    exact = channels * multiplier
    rounded = max(divisor, int(exact + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * exact else rounded + divisor


class Classifier(Exchangeable, kw_only=True):
    """A network from images to float32 logits (for each image or pixel) or embeddings.

    A subclass lists its strides in `subsampling`, gives its layers the strides and
    dilations of `plan()`, and ends with `classify`. The last feature map is sown as
    "features" into the collection "intermediates"; `models.features` returns it.

    Attributes:
      head: the layers after the last feature map, one of
        "gap": global average pooling, then one fully connected layer (Lin et al. 2014;
          He et al. 2016).
        "gmp": global max pooling, then one fully connected layer (Oquab et al. 2015).
        "conv_gap": a 1x1 convolution to one map for each class, the activation, then
          global average pooling (Lin et al. 2014; Iandola et al. 2016).
        "flatten_fc": the map as one vector, then fully connected layers (Krizhevsky et
          al. 2012).
        "pyramid": spatial pyramid pooling in place of the flattening (He et al. 2014).
        "fcn": 3x3 convolutions of `head_width` channels, then a 1x1 convolution to one
          map for each class, interpolated to the input's size: logits of every pixel
          (Long et al. 2015; at an output stride of 32 this is FCN-32s).
        "deeplab": atrous spatial pyramid pooling, then the layers of "fcn"
          (`layers.ASPP`; Chen et al. 2017).
        "context", "large_context": "fcn" with a context module before the interpolation
          (`layers.ContextModule`; Yu and Koltun 2016).
        "embedding": the map as one vector, dropout, one fully connected layer to the
          embedding, and batch normalization without a scale (Deng et al. 2019,
          "ArcFace", section 3.1). The output is a dict: "embedding", which is not
          normalized to unit length, and "cosine", the cosines of the angles between the
          embedding and one vector for each class.
        "cam": a 1x1 convolution without a bias to one map for each class. The output is
          a dict: these "maps", and their means as "logits" (Zhou et al. 2016, equations
          1 and 2).
      head_width: units of the hidden layers of "flatten_fc" and "pyramid"; None is the
        architecture's own widths or, if it has none, (4096, 4096), as in the papers.
        For "fcn": channels of the 3x3 convolutions, each with the activation, and with
        normalization if the network has normalization layers; None is (). For
        "deeplab": the channels of the pyramid, then the channels of the 3x3
        convolutions; None is (256, 256).
      head_grid: "flatten_fc" and "embedding" first average the map over a grid with
        this many cells a side, so that the network takes images of any size. 1 is
        global average pooling. None is the architecture's own grid, or no averaging.
      pyramid_levels: cells a side of each grid of "pyramid"; None is (4, 2, 1).
      aspp_rates: dilations of the parallel 3x3 convolutions of "deeplab"; None is
        (12, 24, 36), for an output stride of 8.
      embedding_features: length of the embedding; None is 512.
      dropout: rate of the dropout before the last layer and after each hidden layer
        (Srivastava et al. 2014), or after the pyramid of "deeplab".
      output_stride: input pixels for one pixel of the last map; see `models.strides`.
        None is the architecture's own output stride.

    Raises:
      UserError: an attribute has an invalid value.
    """

    default_head_width: ClassVar[tuple[int, ...]] = (4096, 4096)
    default_head_grid: ClassVar[int | None] = None
    # Whether the network takes clips; if so, images become still clips.
    takes_clips: ClassVar[bool] = False
    takes: ClassVar[tuple[fit.Need, ...]] = (
        fit.Need("image rank", {2}, "takes images", "take a network for clips"),
    )
    # Networks with auxiliary heads have a field with this name. An annotation here
    # would make it the first field of these networks.
    auxiliary = False
    # The kind of output of auxiliary heads, a name of `models.OUTPUTS`.
    auxiliary_kind: ClassVar[str] = "logits"
    # Whether heads without hidden layers have dropout before their last layer.
    head_dropout: ClassVar[bool] = True
    # Whether the last fully connected layer has a bias.
    head_bias: ClassVar[bool] = True
    head_modules: ClassVar[str] = (
        r"aspp|head(_conv\d+)?|context|fc\d+|embedding(_norm)?"
    )
    head_fields: ClassVar[tuple[str, ...]] = ("head", *OF_HEADS)
    # Possible values of `stem`.
    stems: ClassVar[tuple[str, ...]] = ("imagenet", "small")
    # The stem of networks without a field `stem`.
    stem = "imagenet"

    num_classes: Count
    head: str = "gap"
    head_width: tuple[Count, ...] | None = None
    head_grid: Cells | None = None
    pyramid_levels: tuple[Cells, ...] | None = None
    aspp_rates: tuple[Cells, ...] | None = None
    embedding_features: Count | None = None
    dropout: Rate = 0.0
    output_stride: Cells | None = None

    def __post_init__(self):
        self._check_numbers()
        self.check("head", HEADS)
        self.check("stem", self.stems)
        for field in OF_HEADS:
            heads = [head for head, own in HEADS.items() if field in own]
            value = getattr(self, field)
            if value is not None and self.head not in heads:
                raise UserError(
                    f"{field}={value} belongs to head={' or '.join(heads)}, "
                    f"not to head={self.head}: leave {field} out or set another head."
                )
        if self.head == "deeplab" and self.head_width == ():
            raise UserError("head_width=() of head=deeplab needs at least one entry.")
        self.validate()
        last = [
            size if isinstance(size, int) else size[-1] for size in self.subsampling
        ]
        possible = sorted({1, *itertools.accumulate(last, lambda a, b: a * b)})
        if self.output_stride not in (None, *possible):
            raise UserError(
                f"output_stride={self.output_stride} is not possible for this network: "
                f"set one of {', '.join(map(str, possible))} (without dilation, the "
                f"output stride is {math.prod(last)})."
            )
        super().__post_init__()

    def validate(self) -> None:
        """Raises `UserError` for invalid values of a subclass's attributes.

        Subclasses override this method. The base class checks before that numbers are
        within the ranges of their types, that tuples are not empty (except for names in
        `MAY_BE_EMPTY`), and that `stem` is valid.
        """

    def _check_numbers(self) -> None:
        """Raises `UserError` for empty tuples and for numbers out of their ranges."""
        for field in dataclasses.fields(self):
            if getattr(self, field.name) == () and field.name not in MAY_BE_EMPTY:
                raise UserError(f"{field.name}=() needs at least one entry.")
        ranges.check_fields(self)

    def check(self, field: str, known) -> None:
        """Raises `UserError` unless the attribute's value is among `known`."""
        if getattr(self, field) not in known:
            raise unknown(field, getattr(self, field), known)

    @property
    def output_kind(self) -> str:
        """The kind of output; see `models.OUTPUTS`."""
        return KINDS[self.head]

    @property
    def gives(self) -> dict[str, fit.Fact]:
        """Facts for the other parts of a run; see `core.fit`."""
        facts = {"output kind": outputs.fact(self.output_kind, CHANGES)}
        if self.auxiliary:
            words = outputs.kind_of(self.auxiliary_kind).words
            facts["auxiliary output"] = fit.Fact(
                self.auxiliary_kind, f"has auxiliary heads that give {words}"
            )
        return facts

    @property
    def subsampling(self) -> tuple[int | tuple[int, ...], ...]:
        """Strides of the layers that subsample, in order."""
        raise NotImplementedError

    def plan(self, rank: int = 2) -> list[strides.Step]:
        """Returns the steps of the layers in `subsampling`."""
        return strides.plan(self.subsampling, self.output_stride, rank)

    def classify(
        self,
        x: Maps,
        train: bool,
        hidden_init: Any = hidden_init,
        head_init: Any = head_init,
        *,
        size: Sequence[int],
    ) -> Logits:
        """Applies the head. Call it once, at the end of a compact `__call__`.

        Module names: `pool`, `flatten` or `pyramid`, `fc1`, `fc2`, ..., or `embedding`
        and `embedding_norm`, `head`; `pixel_heads.logits` names the modules of its
        heads.

        Args:
          x: the last feature map. If the collection "cached" has a variable "features",
            this variable takes its place.
          size: the spatial size of the network's input.
        """
        if self.has_variable(CACHED, "features"):
            x = self.get_variable(CACHED, "features")
        self.sow("intermediates", "features", x)
        drop = self.dropout_layer(train)
        drop_last = drop if self.head_dropout else lambda x: x
        if self.head == "conv_gap":
            x = pixel_heads.class_maps(
                x,
                self.num_classes,
                drop_last,
                kernel_init=head_init,
                # Equal biases of one for all classes, so that at first ReLU lets all
                # classes pass. A class that ReLU blocks for every image never recovers.
                bias_init=nn.initializers.ones,
            )
            return layers.GlobalAvgPool(name="pool")(self.activate(x))
        if self.head == "cam":
            maps = pixel_heads.class_maps(
                x, self.num_classes, drop_last, use_bias=False, kernel_init=head_init
            )
            return {"logits": layers.GlobalAvgPool(name="pool")(maps), "maps": maps}
        if self.head in pixel_heads.WIDTHS:
            return pixel_heads.logits(
                self.head,
                x,
                self.num_classes,
                conv=self.head_conv(train),
                drop=drop_last,
                size=size,
                kernel_init=head_init,
                width=self.head_width,
                rates=self.aspp_rates,
            )
        x = self._vectors(x)
        if self.head == "embedding":
            x = drop_last(x.astype(jnp.float32))
            return self._embedded(x, train, head_init)
        if "head_width" in HEADS[self.head]:
            width = self.head_width
            if width is None:
                width = self.default_head_width
            for i, features in enumerate(width, start=1):
                x = layers.Dense(
                    features, dtype=self.dtype, kernel_init=hidden_init, name=f"fc{i}"
                )(x)
                x = drop(self.activate(x))
        else:
            x = drop_last(x)
        return layers.Dense(
            self.num_classes,
            use_bias=self.head_bias,
            kernel_init=head_init,
            name="head",
        )(x.astype(jnp.float32))

    def _vectors(self, x: Maps) -> Array:
        """Returns one vector per image from the last feature map, [batch, features]."""
        if self.head == "gap":
            return layers.GlobalAvgPool(name="pool")(x)
        if self.head == "gmp":
            return layers.Flatten(name="flatten")(
                layers.AdaptiveMaxPool(1, name="pool")(x)
            )
        if self.head == "pyramid":
            levels = self.pyramid_levels or (4, 2, 1)
            return layers.SpatialPyramidPool(levels, name="pyramid")(x)
        grid = self.head_grid or self.default_head_grid
        if grid is not None:
            x = layers.AdaptiveAvgPool(grid, name="pool")(x)
        return layers.Flatten(name="flatten")(x)

    def _embedded(self, x: Array, train: bool, head_init: Any) -> dict[str, Array]:
        """Returns the embedding of each image, and its cosine with each class."""
        x = layers.Dense(
            self.embedding_features or 512,
            use_bias=False,
            kernel_init=head_init,
            name="embedding",
        )(x)
        # Without it, positive feature maps would make all cosines positive.
        norm = layers.batch_norm(train, sync=self.sync_batch_norm, use_scale=False)
        x = norm(name="embedding_norm")(x)
        cosine = layers.CosineDense(self.num_classes, name="head")(x)
        return {"embedding": x, "cosine": cosine}

    def head_conv(self, train: bool) -> Callable[..., nn.Module]:
        """Returns a partial that makes a convolution with norm and activation."""
        return partial(
            layers.ConvUnit,
            norm=self.normalization(train),
            activation=self.activate,
            dtype=self.dtype,
        )

    def auxiliary_logits(
        self, name: str, head: nn.Module, x: Maps, train: bool
    ) -> None:
        """Sows the logits that `head` computes from `x`, for the training loss.

        The logits go into the collection "auxiliary". Evaluation does not compute them.
        """
        if self.is_initializing():
            head(x)
        elif train:
            self.sow("auxiliary", name, head(x))

    def dropout_layer(self, train: bool, **attributes) -> Callable[[Array], Array]:
        """Returns a function that applies dropout; at a rate of zero, the identity."""
        if not self.dropout:
            return lambda x: x
        return lambda x: layers.Dropout(
            self.dropout, deterministic=not train, **attributes
        )(x)


class NormalizedClassifier(Classifier, kw_only=True):
    """A classifier whose own normalization is batch normalization.

    Attributes:
      sync_batch_norm: compute batch statistics over all devices; for a training step
        that is mapped over the axis "batch".
    """

    sync_batch_norm: bool = False

    @property
    def own_norm(self) -> str:
        return "batch"
