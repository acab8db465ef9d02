"""What all networks share: heads, and strides turned to dilation."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core import fit, ranges
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.core.ranges import Cells, Count, Rate
from cnn_jax.layers import initializers
from cnn_jax.models import outputs, pixel_heads, strides
from cnn_jax.models.network import Network

Maps = Float[Array, "batch *space channels"]
# One row of classes an image or clip, and with those of `pixel_heads` one a pixel.
# With the head "embedding" two vectors an image.
Logits = Float[Array, "batch *pixels classes"] | dict[str, Float[Array, "batch _"]]

# torchvision leaves most classifiers at PyTorch's default, uniform in
# +-1/sqrt(fan_in); the bias starts at zero here.
head_init = initializers.variance_scaling(1 / 3, "fan_in", "uniform")
# He et al. 2015, for fully connected layers followed by ReLU.
hidden_init = initializers.variance_scaling(2.0, "fan_in", "normal")

# What makes logits of the last map, and the attributes that are its own.
HEADS: dict[str, tuple[str, ...]] = {
    "gap": (),
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
# The collection of variables that holds the last map where it was computed before.
CACHED = "cached"
# Fields for the layers behind the last map, which a backbone has no use for.
NOT_OF_BACKBONES = ("head", *OF_HEADS, "dropout", "auxiliary", "auxiliary_dropout")
# The kind of output of each head, and which heads to take for a kind.
KINDS = dict.fromkeys(HEADS, "logits") | dict.fromkeys(pixel_heads.WIDTHS, "maps")
KINDS |= {"embedding": "embedding", "cam": "class_maps"}
CHANGES = {
    kind: f"take head={fit.either([head for head in HEADS if KINDS[head] == kind])}"
    for kind in dict.fromkeys(KINDS.values())
}
MAY_BE_EMPTY = {"head_width", "flattened", "filters"}


def cached(features: Maps | None) -> dict[str, Any]:
    """Returns the variables with which a network applies its head to `features`.

    The layers before the head are traced but, as nothing uses them, not compiled.
    """
    return {} if features is None else {CACHED: {"features": features}}


def scaled(channels: int, multiplier: float, divisor: int = 1) -> int:
    """`channels * multiplier`, rounded to a multiple of `divisor`, at least one.

    Rounding never takes away more than a tenth (the rule of MobileNet's reference
    implementation).

    Raises:
      UserError: a multiplier of zero or below, or one that is no finite number.
    """
    if not 0 < multiplier < math.inf:
        raise UserError(f"width_multiplier={multiplier} must be above 0 and finite.")
    exact = channels * multiplier
    rounded = max(divisor, int(exact + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * exact else rounded + divisor


class Classifier(Network, kw_only=True):
    """A network from images to float32 logits, one row an image or one a pixel, or to
    embeddings.

    A subclass says in `subsampling` which strides it takes, makes the maps with the
    steps of `plan()`, and ends with `classify`. The last map is sown as "features"
    into the collection "intermediates"; `models.features` returns it.

    Attributes:
      head: what follows the last map. "gap": global average pooling, then one fully
        connected layer (Lin et al. 2014; He et al. 2016). "conv_gap": a 1x1
        convolution to one map a class, ReLU, then global average pooling (Lin et al.
        2014; Iandola et al. 2016). "flatten_fc": the map as one vector, then fully
        connected layers (Krizhevsky et al. 2012). "pyramid": spatial pyramid pooling
        in place of the flattening (He et al. 2014). "fcn": a 1x1 convolution to one
        map a class, interpolated to the input's size: logits of every pixel (Long et
        al. 2015, whose FCN-32s this is at an output stride of 32), behind 3x3
        convolutions of `head_width` channels. "deeplab": atrous spatial pyramid pooling
        first (`layers.ASPP`; Chen et al. 2017). "context" and "large_context": the maps
        of "fcn" and a context module (`layers.ContextModule`; Yu and Koltun 2016)
        before they are interpolated. "embedding": the map as one vector, dropout, one
        fully connected layer to the embedding, and batch normalization without a scale
        (Deng et al. 2019, "ArcFace", section 3.1). The output is a dict: "embedding",
        of no certain length, and "cosine", of the angles between it and a vector a
        class. "cam": a 1x1 convolution to one map a class, without a bias, and "logits"
        that are the means of these "maps" (Zhou et al. 2016, equations 1 and 2).
      head_width: units of the hidden layers of "flatten_fc" and "pyramid"; None is
        the architecture's own, or (4096, 4096), as in the papers. Channels of the 3x3
        convolutions of "fcn", each with normalization, if the network has any, and
        ReLU; None is (). "deeplab" has those of the pyramid before them; None is
        (256, 256).
      head_grid: "flatten_fc" and "embedding" first average the map over a grid of so
        many cells a side, so that the network takes images of any size; 1 is global
        average pooling, None the architecture's own, or the map as it is.
      pyramid_levels: cells a side of each grid of "pyramid"; None is (4, 2, 1).
      aspp_rates: dilations of the 3x3 convolutions side by side in "deeplab"; None is
        (12, 24, 36), for an output stride of 8.
      embedding_features: entries of the embedding; None is 512.
      dropout: rate of the dropout before the last layer, and behind each hidden one
        (Srivastava et al. 2014), or behind the pyramid of "deeplab".
      output_stride: pixels of the input to one of the last map; see
        `models.strides`. None is the architecture's own.

    Raises:
      UserError: an attribute's value that makes no network.
    """

    default_head_width: ClassVar[tuple[int, ...]] = (4096, 4096)
    default_head_grid: ClassVar[int | None] = None
    # Whether it takes clips; where it does, images are still clips.
    takes_clips: ClassVar[bool] = False
    takes: ClassVar[tuple[fit.Need, ...]] = (
        fit.Need("image rank", {2}, "takes images", "take one for clips"),
    )
    # Networks with auxiliary heads have a field of this name; an annotation here would
    # make that field their first one.
    auxiliary = False
    # What auxiliary heads return, of `models.OUTPUTS`.
    auxiliary_kind: ClassVar[str] = "logits"
    # Whether there is dropout before the last layer of the heads without hidden ones.
    head_dropout: ClassVar[bool] = True
    head_modules: ClassVar[str] = (
        r"aspp|head(_conv\d+)?|context|fc\d+|embedding(_norm)?"
    )
    head_fields: ClassVar[tuple[str, ...]] = ("head", *OF_HEADS)
    # Possible values of `stem`.
    stems: ClassVar[tuple[str, ...]] = ("imagenet", "small")
    # The only stem of a network without such a field.
    stem = "imagenet"
    # Whether batch statistics are those of all devices.
    sync_batch_norm = False

    num_classes: Count
    head: str = "gap"
    head_width: tuple[Count, ...] | None = None
    head_grid: Cells | None = None
    pyramid_levels: tuple[Cells, ...] | None = None
    aspp_rates: tuple[Cells, ...] | None = None
    embedding_features: Count | None = None
    dropout: Rate = 0.0
    output_stride: Cells | None = None
    dtype: DTypeLike | None = None

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
                    f"not to head={self.head}."
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
                f"output_stride={self.output_stride} is not possible: this network's "
                f"own is {math.prod(last)}, and dilation can make it one of "
                f"{', '.join(map(str, possible))}."
            )
        super().__post_init__()

    def validate(self) -> None:
        """Raises UserError for values of a subclass's attributes that make no network.

        Numbers are known to be in the ranges of their types by then, tuples to have
        entries, unless `MAY_BE_EMPTY` has their names, and `stem` to be right.
        """

    def _check_numbers(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) == () and field.name not in MAY_BE_EMPTY:
                raise UserError(f"{field.name}=() needs at least one entry.")
        ranges.check_fields(self)

    def check(self, field: str, known) -> None:
        """Raises UserError unless the attribute's value is one of `known`."""
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
        """The steps of the layers in `subsampling`."""
        return strides.plan(self.subsampling, self.output_stride, rank)

    def classify(
        self,
        x: Maps,
        train: bool,
        activation: Callable[[Array], Array] = nn.relu,
        hidden_init: Any = hidden_init,
        head_init: Any = head_init,
        *,
        size: Sequence[int],
    ) -> Logits:
        """The head, to be called once, at the end of a compact `__call__`.

        Module names: `pool`, `flatten` or `pyramid`, `fc1`, `fc2`, ..., or `embedding`
        and `embedding_norm`, `head`; see `pixel_heads.logits` for its heads.

        Args:
          x: the last map. The variable "features" of the collection "cached" takes its
            place, if there is one.
          size: of the network's input in space.
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
                # Alike for all classes, so that at first ReLU lets all of them pass:
                # a class that it shuts off for every image never comes back.
                bias_init=nn.initializers.ones,
            )
            return layers.GlobalAvgPool(name="pool")(activation(x))
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
        if self.head == "gap":
            x = layers.GlobalAvgPool(name="pool")(x)
        elif self.head == "pyramid":
            levels = self.pyramid_levels or (4, 2, 1)
            x = layers.SpatialPyramidPool(levels, name="pyramid")(x)
        else:
            grid = self.head_grid or self.default_head_grid
            if grid is not None:
                x = layers.AdaptiveAvgPool(grid, name="pool")(x)
            x = layers.Flatten(name="flatten")(x)
        if self.head == "embedding":
            x = layers.Dense(
                self.embedding_features or 512,
                use_bias=False,
                kernel_init=head_init,
                name="embedding",
            )(drop_last(x.astype(jnp.float32)))
            # Where all maps are positive, so would be all cosines without it.
            norm = layers.batch_norm(train, sync=self.sync_batch_norm, use_scale=False)
            x = norm(name="embedding_norm")(x)
            cosine = layers.CosineDense(self.num_classes, name="head")(x)
            return {"embedding": x, "cosine": cosine}
        if "head_width" in HEADS[self.head]:
            width = self.head_width
            if width is None:
                width = self.default_head_width
            for i, features in enumerate(width, start=1):
                x = layers.Dense(
                    features, dtype=self.dtype, kernel_init=hidden_init, name=f"fc{i}"
                )(x)
                x = drop(activation(x))
        else:
            x = drop_last(x)
        return layers.Dense(self.num_classes, kernel_init=head_init, name="head")(
            x.astype(jnp.float32)
        )

    def head_conv(self, train: bool) -> Callable[..., nn.Module]:
        """What makes a convolution of a head, with normalization and ReLU."""
        return partial(layers.ConvUnit, norm=self.head_norm(train), dtype=self.dtype)

    def head_norm(self, train: bool) -> Callable[..., nn.Module] | None:
        """What makes a normalization of a head; None: there is none."""
        return None

    def auxiliary_logits(
        self, name: str, head: nn.Module, x: Maps, train: bool
    ) -> None:
        """Sows the logits that `head` makes of `x`, for the loss in training alone.

        They go into the collection "auxiliary"; evaluation does not compute them.
        """
        if self.is_initializing():
            head(x)
        elif train:
            self.sow("auxiliary", name, head(x))

    def dropout_layer(self, train: bool, **attributes) -> Callable[[Array], Array]:
        """What applies dropout of the model's rate; nothing at a rate of zero."""
        if not self.dropout:
            return lambda x: x
        return lambda x: layers.Dropout(
            self.dropout, deterministic=not train, **attributes
        )(x)


class NormalizedClassifier(Classifier, kw_only=True):
    """A classifier with batch normalization.

    Attributes:
      sync_batch_norm: batch statistics over all devices, for a training step that
        is mapped over the axis "batch".
    """

    sync_batch_norm: bool = False

    def norm(self, train: bool, **attributes) -> Callable[..., nn.Module]:
        """What makes a normalization layer."""
        return layers.batch_norm(
            train, sync=self.sync_batch_norm, dtype=self.dtype, **attributes
        )

    def head_norm(self, train: bool) -> Callable[..., nn.Module] | None:
        return self.norm(train)
