"""Sources of data, labels, augmentation and loading."""

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
# Config keys of all sources that hold places of the user's files.
PLACES = {key for source in SOURCES.values() for key in source.places()}


def load(name: str, **options: Any) -> Dataset:
    """Returns the data set `name`: one of `SOURCES`, `tfds:NAME`, or an import path.

    Raises `UserError` for an unknown name or option, and as the source does.
    """
    found, set_name = source(name)
    return found.load(*set_name, **options)


def describe(name: str, **options: Any) -> Description:
    """Returns the classes and the shapes of a data set, without its images.

    A TFDS set that is not prepared is described by TFDS itself.
    """
    found, set_name = source(name)
    return found.describe(*set_name, **options)


def options(name: str) -> dict[str, Key]:
    """Returns the options that `load(name, ...)` takes: {option: (hint, default)}."""
    return source(name)[0].options()


def source(name: str) -> tuple[Source, list[str]]:
    """Returns the source of a data set, and the set's own name if the source is named.

    Args:
      name: one of `SOURCES`; with a set's name after a colon for some of them; or the
        import path of a `Source`, or of a function that returns a `Dataset`. The
        keyword-only arguments of the function are config keys.

    Raises:
      UserError: there is no such source.
    """
    kind, colon, set_name = name.partition(":")
    ours = SOURCES.get(kind)
    if ours and ours.named and set_name:
        return ours, [set_name]
    if ours and ours.named:
        raise UserError(
            f"data set '{name}' names no set: '{kind}:NAME', as in 'tfds:cifar10'."
        )
    known = {f"{s.name}:NAME" if s.named else s.name: s for s in SOURCES.values()}
    if colon:
        raise unknown("data set", name, known)
    found = imports.find("data set", name, known)
    return (found if ours else outside.source(name, found)), []
