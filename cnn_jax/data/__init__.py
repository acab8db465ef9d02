"""Sources of data, augmentation and loading."""

import inspect
import typing
from collections.abc import Callable
from typing import Any

from cnn_jax.data import digits, folder, tfds_source
from cnn_jax.data.dataset import Dataset
from cnn_jax.errors import UserError, unknown

SOURCES: dict[str, Callable[..., Dataset]] = {
    "digits": digits.load,
    "folder": folder.load,
    "tfds": tfds_source.load,  # called with the name after the colon
}


def load(name: str, **options: Any) -> Dataset:
    """The data set `name`: "digits", "folder", or "tfds:NAME".

    Raises `UserError` for an unknown name or option, and as the source does.
    """
    source, set_name = _source(name)
    known = _options(source)
    for option in options:
        if option not in known:
            raise unknown(f"option of data set '{name}'", option, known)
    return source(*set_name, **options)


def describe(name: str, **options: Any) -> tuple[tuple[str, ...], tuple[int, int, int]]:
    """The classes and the image shape of a data set, without its images.

    Of a TFDS set that is not prepared, TFDS itself knows them.
    """
    source, set_name = _source(name)
    if source is tfds_source.load:
        return tfds_source.describe(
            *set_name, options.get("data_dir"), options.get("image_size")
        )
    if "in_memory" in _options(source):
        options["in_memory"] = False
    dataset = source(*set_name, **options)
    return dataset.classes, dataset.image_shape


def options(name: str) -> dict[str, tuple[Any, Any]]:
    """The options that `load(name, ...)` takes: {option: (type hint, default)}."""
    return _options(_source(name)[0])


def _source(name: str) -> tuple[Callable[..., Dataset], list[str]]:
    """The function that loads `name` and its positional arguments."""
    kind, colon, set_name = name.partition(":")
    if kind == "tfds" and not set_name:
        raise UserError(f"data set '{name}' names no set: 'tfds:cifar10', for example.")
    if kind not in SOURCES or (colon and kind != "tfds"):
        raise unknown("data set", name, [*(SOURCES.keys() - {"tfds"}), "tfds:NAME"])
    return SOURCES[kind], [set_name] if colon else []


def _options(source: Callable[..., Dataset]) -> dict[str, tuple[Any, Any]]:
    hints = typing.get_type_hints(source)
    return {
        parameter.name: (hints[parameter.name], parameter.default)
        for parameter in inspect.signature(source).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
