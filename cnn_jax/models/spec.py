"""`ModelSpec`: a model's class, its published figures and its names in other libraries.

The file of each family lists its models by name in `VARIANTS`; `models.MODELS`
collects them.
"""

import collections.abc
import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any

import flax.linen as nn

from cnn_jax.core import ranges
from cnn_jax.core.errors import UserError
from cnn_jax.models.other_names import OtherNames

Shape = tuple[int, ...]

MNIST = (32, 32, 1)
CIFAR = (32, 32, 3)
IMAGENET = (224, 224, 3)
VIDEO = (16, 112, 112, 3)
GRAY_PATCH = (48, 48, 1)
RGB_PATCH = (48, 48, 3)
PHOTO = (256, 256, 3)

# Mean and standard deviation that scale images to [-1, 1], as TensorFlow's networks do.
FROM_TENSORFLOW = ((0.5,) * 3, (0.5,) * 3)

PLAIN = (str, int, float, bool, types.NoneType, Ellipsis)
# Fields that are no config keys: linen's own fields, and the number of classes, which
# is a separate argument of `models.create`.
NOT_KEYS = ("parent", "name", "num_classes")


@dataclass(frozen=True)
class Published:
    """The setting in which a network was published, with the published figures.

    Attributes:
      input_shape: the shape of one example, channels last; None if not published.
      num_classes: the number of classes of the data set; None for a network that makes
        images.
      parameters: the number of trainable parameters; None if not published.
      macs: multiply-accumulates on one example in evaluation, rounded to millions;
        None if not published.
      source: who published the figures.
      auxiliary: whether `parameters` includes the heads that only training uses.
      auxiliary_macs: the multiply-accumulates of these heads, if `macs` includes them.
    """

    input_shape: Shape | None = None
    num_classes: int | None = None
    parameters: int | None = None
    macs: int | None = None
    source: str = ""
    auxiliary: bool = False
    auxiliary_macs: int = 0


def torchvision(
    parameters: int,
    macs_in_millions: int,
    input_shape: Shape = IMAGENET,
    num_classes: int = 1000,
    *,
    auxiliary: bool = False,
    note: str = "",
) -> Published:
    """Returns a network's setting and figures from torchvision's table of weights.

    The table's column "GFLOPS" holds multiply-accumulates.

    Args:
      auxiliary: whether `parameters` includes the auxiliary heads.
      note: a text that is added to the source "torchvision".
    """
    return Published(
        input_shape,
        num_classes,
        parameters,
        macs_in_millions * 10**6,
        f"torchvision{note}",
        auxiliary=auxiliary,
    )


def unpublished(input_shape: Shape, num_classes: int, source: str) -> Published:
    """Returns a setting for which nobody published figures."""
    return Published(input_shape, num_classes, source=source)


@dataclass(frozen=True)
class ModelSpec:
    """A model, ours or a user's.

    Attributes:
      make: a linen module class with `__call__(x, train)`, or a `functools.partial` of
        such a class with the field values of this variant.
      published: the published setting, with its figures.
      names: names of the layers in weight files of other libraries; None if these
        libraries have no such network.
      normalization: mean and standard deviation of each channel, for values from 0 to
        1, that the published weights expect; None is ImageNet's.
      tiny: attributes with which tests build a small network.
      tiny_shape: the shape of an example for the tiny network.
      not_keys: fields with plain values that the run sets, not the config.

    Raises:
      UserError: `make` is not such a class or partial.
    """

    make: Any
    published: Published = Published()
    names: OtherNames | None = None
    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    tiny: Mapping[str, Any] = field(default_factory=dict)
    tiny_shape: Shape = (8, 8, 1)
    not_keys: tuple[str, ...] = ()

    def __post_init__(self):
        made, _, positional = _taken_apart(self.make)
        called = isinstance(made, type) and issubclass(made, nn.Module)
        parameters = [*inspect.signature(made.__call__).parameters] if called else []
        if parameters[2:3] != ["train"] or positional:
            raise UserError(
                f"{self.make!r} is not a model: a model is a flax.linen module class "
                "with __call__(self, x, train), a functools.partial of such a class "
                "with keyword arguments only, or a cnn_jax.models.ModelSpec."
            )

    @property
    def module(self) -> type[nn.Module]:
        """The module class."""
        return _taken_apart(self.make)[0]

    @property
    def values(self) -> Mapping[str, Any]:
        """The values of the fields that this variant sets, by name."""
        return _taken_apart(self.make)[1]

    @property
    def classifies(self) -> bool:
        """Returns whether the model has classes."""
        return "num_classes" in self.fields()

    def fields(self) -> dict[str, Any]:
        """Returns the default of every field; without a default, `MISSING`."""
        return {
            field.name: self.values.get(field.name, _default(field))
            for field in dataclasses.fields(self.module)
            if field.init
        }

    def keys(self) -> dict[str, tuple[Any, Any]]:
        """Returns (type, default) of every field that a config may set.

        Configs hold str, int, float, bool, None and tuples of these. Fields of other
        types keep their defaults. One exception is `dtype`, which configs set by name.
        The default is `MISSING` for a field without a default.

        Raises:
          UserError: a field of another type has no default.
        """
        try:
            hints = typing.get_type_hints(self.module, include_extras=True)
        except NameError as error:
            raise UserError(
                f"the type hints of {_path(self.module)} cannot be read: {error}."
            ) from error
        keys = {}
        for name, default in self.fields().items():
            hint = _config_type(str | None if name == "dtype" else hints[name])
            if name in NOT_KEYS or name in self.not_keys:
                continue
            if hint is not None:
                if name == "dtype" and default is not MISSING:
                    default = None
                keys[name] = (hint, default)
            elif default is MISSING:
                raise UserError(
                    f"{_path(self.module)} needs a default for its field {name}, "
                    "because a config cannot hold a value of the field's type."
                )
        return keys


def _taken_apart(make: Any) -> tuple[Any, Mapping[str, Any], tuple[Any, ...]]:
    """Returns the class of `make`, and the keywords and arguments of a partial."""
    if isinstance(make, functools.partial):
        return make.func, make.keywords, make.args
    return make, {}, ()


def _path(module: type) -> str:
    """Returns the import path of a class."""
    return f"{module.__module__}.{module.__qualname__}"


def _default(field: dataclasses.Field) -> Any:
    """Returns the default of a field, or `MISSING`."""
    factory = field.default_factory
    return field.default if factory is MISSING else factory()


def _config_type(hint: Any) -> Any:
    """Returns the type of a field's values in configs; None if configs cannot set it.

    Args:
      hint: the type hint of the field.
    """
    if typing.get_origin(hint) is collections.abc.Sequence:
        hint = types.GenericAlias(tuple, (typing.get_args(hint)[0], ...))
    return hint if _is_plain(ranges.plain(hint)) else None


def _is_plain(hint: Any) -> bool:
    """Returns whether all parts of a type can be held in a config."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType, tuple):
        return all(map(_is_plain, typing.get_args(hint)))
    return hint in PLAIN
