"""The type of a data source: a function that loads data, and facts about the data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.core import ranges
from cnn_jax.core.errors import unknown
from cnn_jax.core.keys import Key, keywords
from cnn_jax.core.paths import is_place
from cnn_jax.data import bands, images, perturbations, walk
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.roles import Roles
from cnn_jax.data.splits import Shape


class Files(NamedTuple):
    """The kind of the user's files that `predict` accepts for runs on a data source.

    Attributes:
      kind: the kind of files or folders, such as pictures.
      read: a function `(path, image_shape, crop, ...)` that returns the content of a
        file as an array of shape `image_shape`. Its further arguments are options of
        the data source.
    """

    kind: walk.Kind
    read: Callable[..., np.ndarray]


PICTURES = Files(walk.PICTURES, images.fit)
BANDED_FILES = Files(walk.BANDED, images.fit)


class Description(NamedTuple):
    """The attributes of a data set that are known before its images are read.

    `Dataset` explains the attributes.
    """

    classes: tuple[str, ...]
    image_shape: Shape
    label_shape: Shape = ()
    label_kind: str = "class"
    image_type: np.dtype = bands.BYTES


class StandIn(NamedTuple):
    """A built-in data source that replaces the user's files in a smoke run.

    Attributes:
      name: the name of the built-in source.
      options: the values of config keys of the built-in source.
      image_size: pixels on a side of the images, if the config has no
        `data.image_size`.
      channels: the number of channels, if the config has no `data.channels`.
    """

    name: str = "digits"
    options: Mapping[str, Any] = {}
    image_size: int = 32
    channels: int = 3


DIGITS = StandIn()


@dataclass(frozen=True)
class Source:
    """A source of data: a function that loads data, and facts that need no loading.

    The config keys of a source are the keyword-only arguments of `loader` and the
    fields of `takes`. If `perturbed` is set, the options of `perturbations.view` are
    config keys too.

    Attributes:
      name: the source's name in a config, `data.name`.
      loader: a function that returns the `Dataset`. Its first positional argument is
        the name of the data set, if the source is `named`. The next positional argument
        is an instance of `takes`, if `takes` is not None.
      takes: a class of config keys that several sources share: `Roles`, `Subset` or
        `Stored`.
      named: whether the source has several data sets, so a config must name one of
        them, as in `tfds:cifar10`.
      describer: a function that returns the `Description` of a data set without reading
        its examples. Its arguments are the name of the data set and the values of the
        config keys.
      cheap: values of config keys with which loading takes little time. If there is no
        `describer`, a data set is loaded with these values, and with the values in
        `takes.cheap`, to get its `Description`.
      embedded: the side of the images in pixels, if the source needs no files of the
        user.
      stand_in: the data that replace the user's files in a smoke run; None: the
        source's own data are used.
      stand_ins: the data that replace single data sets of the source in a smoke run, by
        the names of the data sets.
      files: the files of the user that `predict` can read.
      perturbed: whether the options of `perturbations.view` can remove or move pixels
        of the images.
    """

    name: str
    loader: Callable[..., Dataset]
    takes: type[Roles] | None = None
    named: bool = False
    describer: Callable[..., Description] | None = None
    cheap: Mapping[str, Any] = field(default_factory=dict)
    embedded: int | None = None
    stand_in: StandIn | None = None
    stand_ins: Mapping[str, StandIn] = field(default_factory=dict)
    files: Files = PICTURES
    perturbed: bool = False

    def options(self) -> dict[str, Key]:
        """Returns the config keys of the source."""
        taken = keywords(self.takes) if self.takes else {}
        view = keywords(perturbations.view) if self.perturbed else {}
        return keywords(self.loader) | taken | view

    def places(self) -> set[str]:
        """Returns the config keys that hold paths of the user's files."""
        return {key for key, (hint, _) in self.options().items() if is_place(hint)}

    def stand_in_for(self, *set_name: str) -> StandIn | None:
        """Returns the data that replace a data set in a smoke run, or None.

        Args:
          set_name: the name of the data set, if the source is `named`.
        """
        return self.stand_ins.get(":".join(set_name), self.stand_in)

    def load(self, *set_name: str, **options: Any) -> Dataset:
        """Returns the data set.

        Args:
          set_name: the name of the data set, if the source is `named`.
          options: the values of config keys; see `options`.

        Raises:
          UserError: an option is unknown or out of its range, or the data cannot be
            loaded.
        """
        known = self.options()
        for option, value in options.items():
            if option not in known:
                title = ":".join((self.name, *set_name))
                raise unknown(f"option of data set '{title}'", option, known)
            ranges.check(f"data.{option}", value, known[option].hint)
        view = self._of(perturbations.view, options) if self.perturbed else {}
        return perturbations.view(self._loaded(set_name, options), **view)

    def describe(self, *set_name: str, **options: Any) -> Description:
        """Returns the classes and the shapes of a data set, without reading its images.

        Args:
          set_name: the name of the data set, if the source is `named`.
          options: the values of config keys; see `options`.
        """
        if self.describer:
            own = self._of(self.loader, options)
            found = self.describer(*set_name, **own)
        else:
            cheap = self.takes.cheap if self.takes else {}
            made = self._loaded(set_name, {**options, **cheap, **self.cheap})
            found = Description(
                made.classes,
                made.image_shape,
                made.label_shape,
                made.label_kind,
                made.image_type,
            )
        if self.perturbed:
            view = self._of(perturbations.view, options)
            shape = perturbations.viewed_shape(found.image_shape, **view)
            found = found._replace(image_shape=shape)
        return found

    def _loaded(self, set_name: tuple[str, ...], options: Mapping[str, Any]) -> Dataset:
        taken = [self.takes(**self._of(self.takes, options))] if self.takes else []
        own = self._of(self.loader, options)
        return self.loader(*set_name, *taken, **own)

    @staticmethod
    def _of(reader: Callable, options: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the options that a function or class takes as keyword-only arguments.

        Args:
          reader: the function or class.
          options: the values of config keys.
        """
        return {key: options[key] for key in keywords(reader).keys() & options.keys()}
