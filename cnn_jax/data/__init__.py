"""Sources of data, augmentation and loading."""

import inspect
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.core import ranges
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.data import (
    clip_files,
    clips,
    digit_scenes,
    digits,
    folder,
    identities,
    images,
    masks,
    moving_digits,
    objects,
    perturbations,
    restoration,
    styles,
    tfds_masks,
    tfds_source,
    volumes,
)
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.splits import Shape

SOURCES: dict[str, Callable[..., Dataset]] = {
    "digits": digits.load,
    "digit_scenes": digit_scenes.load,
    "moving_digits": moving_digits.load,
    "folder": folder.load,
    "clips": clips.load,
    "volumes": volumes.load,
    "identities": identities.load,
    "masks": masks.load,
    "voc": objects.voc,
    "coco": objects.coco,
    "super_resolution": restoration.super_resolution,
    "denoising": restoration.denoising,
    "picture_and_style": styles.picture_and_style,
    "pictures_and_styles": styles.pictures_and_styles,
    # These two are called with the name after a colon.
    "tfds": tfds_source.load,
    "tfds_masks": tfds_masks.load,
}
# What knows their classes and the shape of their images without reading them.
DESCRIBED = {"tfds": tfds_source.describe, "tfds_masks": tfds_masks.describe}


class Stored(NamedTuple):
    """How the user's own files become images of a source.

    Attributes:
      kind: which files, or folders, they are.
      read: `(path, image_shape, crop, ...)`, and options of the source; uint8 of
        `image_shape`.
    """

    kind: folder.Kind
    read: Callable[..., np.ndarray]


# Of all other sources, the images are pictures.
STORED = {
    "clips": Stored(clip_files.CLIPS, clips.cut),
    "moving_digits": Stored(clip_files.CLIPS, clips.cut),
    "volumes": Stored(volumes.VOLUMES, volumes.fit),
}
PICTURES = Stored(folder.PICTURES, images.fit)
# Those whose images an experiment can look at in other ways.
VIEWED = ("digits", "folder", "tfds")


def load(name: str, **options: Any) -> Dataset:
    """The data set `name`: one of `SOURCES`, or "tfds:NAME" or "tfds_masks:NAME".

    Raises `UserError` for an unknown name or option, and as the source does.
    """
    source, set_name = _source(name)
    known = _known(source)
    for option in options:
        if option not in known:
            raise unknown(f"option of data set '{name}'", option, known)
        ranges.check(f"data.{option}", options[option], known[option][0])
    options, viewed = _split(source, options)
    return perturbations.view(source(*set_name, **options), **viewed)


class Description(NamedTuple):
    """What is known of a data set without its images; see `Dataset`."""

    classes: tuple[str, ...]
    image_shape: Shape
    label_shape: Shape = ()
    label_kind: str = "class"


def describe(name: str, **options: Any) -> Description:
    """The classes and the shapes of a data set, without its images.

    Of a TFDS set that is not prepared, TFDS itself knows them.
    """
    source, set_name = _source(name)
    options, viewed = _split(source, options)
    if set_name:
        classes, shape = DESCRIBED[name.partition(":")[0]](*set_name, **options)
        if source is tfds_masks.load:
            return Description(classes, shape, shape[:2], "pixels")
        return Description(classes, perturbations.viewed_shape(shape, **viewed))
    if "in_memory" in _options(source):
        options["in_memory"] = False
    else:  # few examples say as much, and take less time to make
        few = {"train_examples": 1, "test_examples": 1}
        options |= {key: few[key] for key in few.keys() & _options(source).keys()}
    dataset = source(*set_name, **options)
    shape = dataset.image_shape
    if viewed:
        shape = perturbations.viewed_shape(shape, **viewed)
    return Description(dataset.classes, shape, dataset.label_shape, dataset.label_kind)


def options(name: str) -> dict[str, tuple[Any, Any]]:
    """The options that `load(name, ...)` takes: {option: (type hint, default)}."""
    return _known(_source(name)[0])


def _source(name: str) -> tuple[Callable[..., Dataset], list[str]]:
    """The function that loads `name` and its positional arguments."""
    kind, colon, set_name = name.partition(":")
    if kind in DESCRIBED and not set_name:
        raise UserError(
            f"data set '{name}' names no set: '{kind}:NAME', as in 'tfds:cifar10'."
        )
    if kind not in SOURCES or (colon and kind not in DESCRIBED):
        named = [f"{kind}:NAME" for kind in DESCRIBED]
        raise unknown("data set", name, [*(SOURCES.keys() - DESCRIBED.keys()), *named])
    return SOURCES[kind], [set_name] if colon else []


def _known(source: Callable[..., Dataset]) -> dict[str, tuple[Any, Any]]:
    """The options of a source, and those of a view of its images."""
    viewed = source in [SOURCES[name] for name in VIEWED]
    return _options(source) | (_options(perturbations.view) if viewed else {})


def _split(
    source: Callable[..., Dataset], options: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those that the source takes, and those of the view."""
    own = _options(source)
    return (
        {key: value for key, value in options.items() if key in own},
        {key: value for key, value in options.items() if key not in own},
    )


def _options(source: Callable[..., Dataset]) -> dict[str, tuple[Any, Any]]:
    hints = typing.get_type_hints(source, include_extras=True)
    return {
        parameter.name: (hints[parameter.name], parameter.default)
        for parameter in inspect.signature(source).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
