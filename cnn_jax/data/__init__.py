"""Data sources, labels, augmentation and loading."""

from typing import Any

from cnn_jax.core import imports
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.core.keys import Key
from cnn_jax.data import (
    clips,
    coco,
    csv_file,
    denoising,
    digit_scenes,
    digits,
    folder,
    identities,
    masks,
    moving_digits,
    outside,
    picture_and_style,
    pictures_and_styles,
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
        folder.SOURCE,
        csv_file.SOURCE,
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
    )
}
# The config keys of all sources that hold paths of the user's files.
PLACES = {key for source in SOURCES.values() for key in source.places()}


def load(name: str, **options: Any) -> Dataset:
    """Returns the data set `name`: one of `SOURCES`, `tfds:NAME`, or an import path.

    Raises `UserError` for an unknown name or option, and the errors of the source.
    """
    found, set_name = source(name)
    return found.load(*set_name, **options)


def describe(name: str, **options: Any) -> Description:
    """Returns the classes and the shapes of a data set, without reading its images.

    TFDS itself describes a TFDS set that is not prepared.
    """
    found, set_name = source(name)
    return found.describe(*set_name, **options)


def options(name: str) -> dict[str, Key]:
    """Returns the options of `load(name, ...)`, as {option: (type hint, default)}."""
    return source(name)[0].options()


def source(name: str) -> tuple[Source, list[str]]:
    """Returns the data source of `name`, and the set's own name if the source is
    `named`.

    Args:
      name: one of `SOURCES`; some sources need a set's name after a colon
        (`tfds:cifar10`). Or the import path of a `Source`, or of a function that
        returns a `Dataset`. The keyword-only arguments of the function become config
        keys.

    Raises:
      UserError: there is no such source.
    """
    kind, colon, set_name = name.partition(":")
    ours = SOURCES.get(kind)
    if ours and ours.named and set_name:
        return ours, [set_name]
    if ours and ours.named:
        raise UserError(
            f"data.name='{name}' lacks the name of a set: write '{kind}:NAME', as in "
            "'tfds:cifar10'."
        )
    known = {f"{s.name}:NAME" if s.named else s.name: s for s in SOURCES.values()}
    if colon:
        raise unknown("data set", name, known)
    found = imports.find("data set", name, known)
    return (found if ours else outside.source(name, found)), []
