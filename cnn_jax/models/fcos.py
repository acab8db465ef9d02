"""FCOS (Tian et al. 2019, "FCOS: Fully Convolutional One-Stage Object Detection") on a
feature pyramid (Lin et al. 2017, "Feature Pyramid Networks for Object Detection").

Module names: `backbone`, `pyramid` (`lateral8`, `output8`, ..., `extra64`, ..., by the
stride of the level), `classification` (`conv1`, `norm1`, ..., `logits`), `regression`
(`conv1`, `norm1`, ..., `distances`, `centerness`).
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32

from cnn_jax import layers
from cnn_jax.core import ranges
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Count, Layers
from cnn_jax.layers import initializers
from cnn_jax.models import maps
from cnn_jax.models.classifier import Classifier
from cnn_jax.models.network import Network
from cnn_jax.models.spec import ModelSpec

Images = Float[Array, "batch height width channels"]
Map = Float[Array, "batch _height _width _channels"]
# Over all places of all levels: "logits" [batch, places, classes], "distances" [batch,
# places, 4], "centerness" [batch, places]. "places" and "size" are equal in each row.
Outputs = dict[str, Any]

# Channels of a group in the group normalizations of the heads: 32 groups of 256.
GROUP = 8
# A level learns an object at a place if the distance to the box's farthest side is at
# most 8 times the level's stride: 64, 128, ... pixels for 8, 16, ... (section 3.2).
REACH = 8
# The probability of each class at each place before training (Lin et al. 2017, "Focal
# Loss for Dense Object Detection", section 4.1). Without it, the many places without an
# object would dominate the first steps.
PRIOR = 0.01

_pyramid_init = initializers.variance_scaling(1.0, "fan_in", "uniform")
_head_init = initializers.normal(0.01)


class Places(NamedTuple):
    """The places of a detector's outputs, level after level, rows from the top.

    A place is a point of the image at which the detector predicts a class and a box.

    Attributes:
      centers: (y, x) in pixels of the input, whose top left corner is (0, 0).
      strides: the distance between neighboring places of the level, in pixels.
      reaches: the least and the greatest reach, in pixels. A place learns only boxes
        whose farthest side is at a distance between these two from the place.
    """

    centers: Float32[np.ndarray, "places 2"]
    strides: Float32[np.ndarray, " places"]
    reaches: Float32[np.ndarray, "places 2"]


def places(size: tuple[int, int], strides: Sequence[int]) -> Places:
    """Returns the places of levels with these strides, for an input (height, width).

    A level has ceil(size / stride) places along each dimension. The places are the
    middles of squares with sides of `stride` pixels (Tian et al. 2019, section 3.1).
    """
    parts = []
    for level, stride in enumerate(strides):
        height, width = (math.ceil(n / stride) for n in size)
        grid = np.mgrid[:height, :width].reshape(2, -1).T
        least = REACH * strides[level - 1] if level else 0
        most = REACH * stride if stride != strides[-1] else math.inf
        reaches = np.broadcast_to([least, most], (len(grid), 2))
        parts.append(((grid + 0.5) * stride, np.full(len(grid), stride), reaches))
    columns = zip(*parts, strict=True)
    return Places(*(np.concatenate(column).astype(np.float32) for column in columns))


class FeaturePyramid(nn.Module):
    """A feature pyramid: maps with equal channels at each stride, from coarse to fine.

    Each map of the backbone passes a 1x1 convolution. The sum of the next coarser
    level, enlarged by two (nearest neighbors), is added. A 3x3 convolution of the new
    sum gives the level (figure 3 of Lin et al. 2017). Levels with larger strides than
    the backbone's maps come from the coarsest of these levels by 3x3 convolutions of
    stride 2, with ReLU between them (P6 and P7 of FCOS).

    Attributes:
      strides: strides of the levels; each is twice the previous one.
      channels: channels of each level.
    """

    strides: Sequence[int]
    channels: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, given: maps.Maps) -> list[Map]:
        """Returns the levels, the finest first.

        Args:
          given: the backbone's maps, by stride. The side of a map is twice the side of
            the next coarser map, or one pixel less.
        """
        conv = partial(
            layers.Conv, self.channels, kernel_init=_pyramid_init, dtype=self.dtype
        )
        above, levels = None, {}
        for stride in sorted(given, reverse=True):
            x = conv(1, padding=0, name=f"lateral{stride}")(given[stride])
            if above is not None:
                height, width = x.shape[1:3]
                x += layers.upsample_nearest(above)[:, :height, :width]
            above = x
            levels[stride] = conv(3, padding=1, name=f"output{stride}")(x)
        x = levels[max(given)]
        for stride in self.strides[len(given) :]:
            x = conv(3, 2, padding=1, name=f"extra{stride}")(x)
            levels[stride] = x
            x = nn.relu(x)
        return [levels[stride] for stride in self.strides]


class Tower(nn.Module):
    """3x3 convolutions with group normalization and ReLU, then output convolutions.

    There is one 3x3 output convolution for each output. All levels share the weights.

    Attributes:
      depth: convolutions before the output convolutions.
      outputs: channels and initial bias of each output, by name.
    """

    depth: int
    outputs: Mapping[str, tuple[int, float]]
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, levels: Sequence[Map]) -> dict[str, list[Map]]:
        """Returns for each output its float32 maps, one for each level."""
        channels = levels[0].shape[-1]
        conv = partial(
            layers.Conv,
            kernel_size=3,
            padding=1,
            kernel_init=_head_init,
            dtype=self.dtype,
        )
        units = [
            (
                conv(channels, name=f"conv{i}"),
                layers.GroupNorm(group_size=GROUP, dtype=self.dtype, name=f"norm{i}"),
            )
            for i in range(1, self.depth + 1)
        ]
        last = {
            name: conv(features, bias_init=nn.initializers.constant(bias), name=name)
            for name, (features, bias) in self.outputs.items()
        }
        found: dict[str, list[Map]] = {name: [] for name in last}
        for x in levels:
            for convolution, norm in units:
                x = nn.relu(norm(convolution(x)))
            for name, convolution in last.items():
                found[name].append(convolution(x).astype(jnp.float32))
        return found


class FCOS(Network, kw_only=True):
    """A detector: for each place of each level a class and the sides of a box.

    This is the improved version of the authors' later release, as in torchvision: group
    normalization in the heads, centerness beside the distances, and distances from ReLU
    in units of the level's stride (without a learned scale). With a ResNet-50 for 91
    classes it has 32,322,720 parameters. These are torchvision's 32,269,600 plus 53,120
    of the batch normalizations, which torchvision freezes and does not count.

    Attributes:
      num_classes: number of object classes, without a class for the background.
      backbone: a network for classification (`Classifier`); its head is not used.
      strides: strides of the levels in pixels of the input; each is twice the previous
        one. The backbone must have maps at the first strides, up to its last map. The
        pyramid makes the levels beyond.
      pyramid_channels: channels of all levels and of the heads, a multiple of 8.
      head_depth: convolutions of each head before the output convolutions.

    Raises:
      UserError: an attribute has an invalid value, or `strides` do not match the
        strides of the backbone.
    """

    # For other classes, this layer starts with new weights.
    class_layer: ClassVar[tuple[str, ...]] = ("classification", "logits")
    output_kind: ClassVar[str] = "boxes"

    num_classes: Count
    backbone: Classifier
    strides: tuple[Count, ...] = (8, 16, 32, 64, 128)
    pyramid_channels: Count = 256
    head_depth: Layers = 4
    dtype: DTypeLike | None = None

    def __post_init__(self):
        strides = tuple(self.strides)
        doubled = all(b == 2 * a for a, b in itertools.pairwise(strides))
        ranges.check_fields(self)
        if not strides or not doubled:
            raise UserError(
                f"strides={strides} must be one or more numbers, each twice the "
                "previous one, such as (8, 16, 32)."
            )
        if self.pyramid_channels % GROUP:
            raise UserError(
                f"pyramid_channels={self.pyramid_channels} must be a multiple of "
                f"{GROUP}."
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, images: Images, train: bool) -> Outputs:
        """Returns the outputs for all places.

        Returns:
          Arrays over the places of all levels, in the order of `places`, float32:
            "logits" [batch, places, classes]: logits of each class.
            "distances" [batch, places, 4]: distances in pixels, at least zero, from the
              place to the top, left, bottom and right side of the box.
            "centerness" [batch, places]: logits of how near the place is to the
              middle of the box (equation 3).
          Also "places", the `Places`, and "size", the input's height and width. Both
          are repeated for each image.
        """
        levels = FeaturePyramid(
            self.strides, self.pyramid_channels, self.dtype, name="pyramid"
        )(self._maps(images, train))
        tower = partial(Tower, self.head_depth, dtype=self.dtype)
        classes = {"logits": (self.num_classes, -math.log((1 - PRIOR) / PRIOR))}
        boxes = {"distances": (4, 0.0), "centerness": (1, 0.0)}
        found = tower(classes, name="classification")(levels)
        found |= tower(boxes, name="regression")(levels)
        found["distances"] = [
            nn.relu(x) * stride
            for x, stride in zip(found["distances"], self.strides, strict=True)
        ]

        height, width = images.shape[1:3]
        outputs = {}
        for name, parts in found.items():
            rows = [x.reshape(len(x), -1, x.shape[-1]) for x in parts]
            outputs[name] = jnp.concatenate(rows, axis=1)
        own = jax.tree.map(
            lambda values: jnp.broadcast_to(values, (len(images), *values.shape)),
            places((height, width), self.strides),
        )
        size = jnp.array((height, width), jnp.float32)
        return outputs | {
            "centerness": outputs["centerness"][..., 0],
            "places": own,
            "size": jnp.broadcast_to(size, (len(images), 2)),
        }

    def _maps(self, images: Images, train: bool) -> maps.Maps:
        """Returns the backbone's maps by stride, for the levels that have such a map.

        A map has ceil(size / stride) pixels along each dimension.

        Raises:
          UserError: `strides` do not match the strides of the backbone.
        """
        known = maps.by_stride(self.backbone, images, train)
        last, size = max(known), images.shape[1:-1]
        wanted = [stride for stride in self.strides if stride <= last]
        if not wanted or wanted[-1] != last or not set(wanted) <= known.keys():
            raise UserError(
                f"strides={tuple(self.strides)} must begin with a stride of the "
                "backbone's feature maps and include the largest of these strides. On "
                f"images of {size[0]}x{size[1]}, the backbone's feature maps have the "
                f"strides {', '.join(map(str, known))}."
            )
        return {stride: maps.whole(known[stride], size, stride) for stride in wanted}


ON_BACKBONES = {
    "fcos": ModelSpec(
        FCOS,
        not_keys=("backbone",),
        tiny={"strides": (2, 4), "pyramid_channels": 8, "head_depth": 1},
    )
}
