"""Data sources, labels, augmentation and loading."""

from typing import Any

from cnn_jax.core import imports
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.core.keys import Key
from cnn_jax.data import (
    clips,
    coco,
    csv_file,
    csv_values,
    denoising,
    digit_scenes,
    digits,
    folder,
    hf_source,
    identities,
    masks,
    moving_digits,
    outside,
    picture_and_style,
    pictures_and_styles,
    rotated_digits,
    super_resolution,
    tfds_masks,
    tfds_source,
    voc,
    volumes,
)
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.source import Description, Source

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        digits.SOURCE,
        digit_scenes.SOURCE,
        moving_digits.SOURCE,
        rotated_digits.SOURCE,
        folder.SOURCE,
        csv_file.SOURCE,
        csv_values.SOURCE,
        clips.SOURCE,
        volumes.SOURCE,
        identities.SOURCE,
        masks.SOURCE,
        voc.SOURCE,
        coco.SOURCE,
        super_resolution.SOURCE,
        denoising.SOURCE,
        picture_and_style.SOURCE,
        pictures_and_styles.SOURCE,
        tfds_source.SOURCE,
        tfds_masks.SOURCE,
        hf_source.SOURCE,
    )
}
# The config keys of all sources that hold paths of the user's files.
PLACES = {key for source in SOURCES.values() for key in source.places()}


def load(name: str, **options: Any) -> Dataset:
    """Returns a data set.

    Args:
      name: the name of the data set in a config; see `source`.
      options: values of the data set's config keys; see `options`.

    Raises:
      UserError: the name or an option is unknown, or the data cannot be loaded.
    """
    found, set_name = source(name)
    return found.load(*set_name, **options)


def describe(name: str, **options: Any) -> Description:
    """Returns the classes and the shapes of a data set, without reading its images.

    A TFDS set need not be prepared for this: TFDS knows its classes and shapes.

    Args:
      name: the name of the data set in a config; see `source`.
      options: values of the data set's config keys; see `options`.
    """
    found, set_name = source(name)
    return found.describe(*set_name, **options)


def options(name: str) -> dict[str, Key]:
    """Returns the config keys that `load` accepts for the data set `name`.

    The result maps the name of each key to its type hint and its default value.
    """
    return source(name)[0].options()


def source(name: str) -> tuple[Source, list[str]]:
    """Returns the source of a data set, and the name of the data set in this source.

    The name is a list with one entry ("cifar10" in `tfds`), or an empty list if the
    source has only one data set.

    Args:
      name: the name of the data set in a config, `data.name`. It may be a name in
        `SOURCES`, followed by a colon and the name in this source if the source has
        many data sets (`tfds:cifar10`). It may also be the import path of a `Source`,
        or the import path of a function that returns a `Dataset`. The keyword-only
        arguments of the function become config keys.

    Raises:
      UserError: there is no such source.
    """
    kind, colon, set_name = name.partition(":")
    ours = SOURCES.get(kind)
    if ours and ours.named and set_name:
        return ours, [set_name]
    if ours and ours.named:
        raise UserError(
            f"data.name='{name}' needs the name of a data set after a colon: write "
            f"'{kind}:NAME'."
        )
    known = {f"{s.name}:NAME" if s.named else s.name: s for s in SOURCES.values()}
    if colon:
        raise unknown("data set", name, known)
    found = imports.find("data set", name, known)
    return (found if ours else outside.source(name, found)), []
