"""The type of a data source: its loader, and the facts that need no loading."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.core import ranges
from cnn_jax.core.errors import unknown
from cnn_jax.core.keys import Key, keywords
from cnn_jax.core.paths import is_place
from cnn_jax.data import images, perturbations, walk
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.splits import Shape
from cnn_jax.data.subset import Subset


class Files(NamedTuple):
    """The user's own files that a source can read, for `predict`.

    Attributes:
      kind: the kind of files or folders.
      read: `(path, image_shape, crop, ...)`, with options of the source, returns uint8
        of `image_shape`.
    """

    kind: walk.Kind
    read: Callable[..., np.ndarray]


PICTURES = Files(walk.PICTURES, images.fit)


class Description(NamedTuple):
    """The facts of a data set that are known without its images; see `Dataset`."""

    classes: tuple[str, ...]
    image_shape: Shape
    label_shape: Shape = ()
    label_kind: str = "class"


class StandIn(NamedTuple):
    """The embedded data that a smoke run uses instead of the user's files.

    Attributes:
      name: the name of the embedded source.
      options: values of its keys.
      image_size: pixels on a side, if a config has no `data.image_size`.
      channels: the number of channels, if a config has no `data.channels`.
    """

    name: str = "digits"
    options: Mapping[str, Any] = {}
    image_size: int = 32
    channels: int = 3


DIGITS = StandIn()


@dataclass(frozen=True)
class Source:
    """A source of data, and the facts that are known before it is loaded.

    Its config keys are the keyword-only arguments of `loader`, the fields of `takes`
    and, if it may be perturbed, the options of `perturbations.view`.

    Attributes:
      name: the source's name in a config, `data.name`.
      loader: returns the `Dataset`. Its positional arguments are the set's name, if the
        source is `named`, and an instance of `takes`, if there is one.
      takes: the class of the keys that sources of whole sets share, `Subset` or
        `Stored`.
      named: whether a config also names one of its sets, as in `tfds:cifar10`.
      describer: returns the `Description` of the data set that `loader` would return,
        from the set's name and all keys, without reading examples.
      cheap: without a `describer`, the source is loaded for its description with these
        values of keys, in addition to `takes.cheap`.
      embedded: the size of the images, if the source needs no files of the user.
      stand_in: the embedded data for a smoke run; None: the source's own data.
      stand_ins: the embedded data that stand in for some of its sets, by the sets'
        names.
      files: the user's files that `predict` takes.
      perturbed: whether experiments may show the images with less information.
    """

    name: str
    loader: Callable[..., Dataset]
    takes: type[Subset] | None = None
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
        """Returns the embedded data that a smoke run uses instead of a data set."""
        return self.stand_ins.get(":".join(set_name), self.stand_in)

    def load(self, *set_name: str, **options: Any) -> Dataset:
        """Returns the data set.

        Raises:
          UserError: an option is unknown or out of its range; also the errors of the
            loader.
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
        """Returns the facts of the data set that are known without its images."""
        if self.describer:
            own = self._of(self.loader, options)
            found = self.describer(*set_name, **own)
        else:
            cheap = self.takes.cheap if self.takes else {}
            made = self._loaded(set_name, {**options, **cheap, **self.cheap})
            found = Description(
                made.classes, made.image_shape, made.label_shape, made.label_kind
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
        """Returns the options that a function or class takes."""
        return {key: options[key] for key in keywords(reader).keys() & options.keys()}
