"""Data sets of Hugging Face, read with the library `datasets` (extra `hf`).

A set is on the Hub, in the library's cache, or in a folder that `save_to_disk` wrote.
The library works offline if the environment variable HF_HUB_OFFLINE is 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.core import extras
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.core.ranges import Channels, Side
from cnn_jax.data.dataset import Dataset, assemble
from cnn_jax.data.folder import sort_classes
from cnn_jax.data.images import check_shape
from cnn_jax.data.source import DIGITS, Source
from cnn_jax.data.splits import Encoded, Records
from cnn_jax.data.subset import PICTURES, Pictures
from cnn_jax.data.tfds_source import TEST, named


def load(
    name: str,
    stored: Pictures = PICTURES,
    *,
    configuration: str = "",
    image_column: str = "",
    label_column: str = "",
    train_split: str = "train",
    test_split: str = TEST,
    image_size: Side = 64,
    channels: Channels = 3,
) -> Dataset:
    """Returns a data set of Hugging Face, for image classification.

    Args:
      name: the set's name on the Hub (`cifar10`, `USER/SET`), or the path of a folder
        that `DatasetDict.save_to_disk` wrote.
      stored: which pictures are used, where they are held, and how they are cropped.
      configuration: the configuration (subset) of a set on the Hub; empty: the set has
        only one.
      image_column: the column with the pictures; empty: the only column of the type
        `Image`.
      label_column: the column with the classes; empty: the only column of the type
        `ClassLabel`. The values may also be texts or whole numbers; then the classes
        are the values in the training split, sorted as in `folder.load`.
      train_split, test_split: the names of the splits.
      image_size: pixels on a side; pictures are scaled and cropped to a square.
      channels: 3 for RGB, 1 for gray.

    Raises:
      UserError: `datasets` is not installed, or cannot load the set; a split or a
        column is unknown; or a label is not a class of the training split.
    """
    check_shape(image_size, channels)
    title = f"hf:{name}"
    found = _splits(name, configuration, title)
    roles = named(stored, train_split, test_split, found)
    for split in roles.values():
        if split not in found:
            raise unknown(f"split of {title}", split, found)
    tables = {role: found[split] for role, split in roles.items()}
    columns = _columns(tables["train"], image_column, label_column, title)
    classes = _classes(tables["train"], columns.label)
    shape, transform = (image_size, image_size, channels), stored.transform()
    splits = {
        role: Records(
            _reader(table, columns, classes, f"{title}, split '{roles[role]}'"),
            shape,
            **transform,
        )
        for role, table in tables.items()
    }
    return assemble(stored.of(splits), classes=classes, in_memory=stored.in_memory)


SOURCE = Source("hf", load, takes=Pictures, named=True, stand_in=DIGITS, perturbed=True)


class Columns(NamedTuple):
    """The names of the columns that hold the pictures and the classes."""

    image: str
    label: str


@dataclass(frozen=True)
class Rows:
    """A reader of the encoded pictures in one split.

    Attributes:
      table: the split, a `datasets.Dataset` whose pictures are not decoded.
      column: the column with the pictures.
      targets: the class of each picture, int32 [n].
      title: the split's name in errors.
    """

    table: Any
    column: str
    targets: np.ndarray
    title: str

    @property
    def paths(self) -> None:
        return None

    def __len__(self) -> int:
        return len(self.targets)

    def labels(self) -> np.ndarray:
        return self.targets

    def joined(self, other: "Rows") -> "Rows":
        import datasets

        table = datasets.concatenate_datasets([self.table, other.table])
        targets = np.concatenate([self.targets, other.targets])
        return Rows(table, self.column, targets, self.title)

    def read(self, indices: Sequence[int]) -> Iterator[Encoded]:
        for index in indices:
            name = f"{index} of {self.title}"
            stored = self.table[int(index)][self.column]
            picture = stored and (stored["bytes"] or stored["path"])
            if not picture:
                raise UserError(f"example {name} has no picture: remove the example.")
            yield Encoded(picture, int(self.targets[index]), name)


def _splits(name: str, configuration: str, title: str) -> Any:
    """Returns the splits of a set by their names, a `datasets.DatasetDict`."""
    datasets = extras.need("datasets", "hf", f"config.data.name={title}")
    folder = Path(name).expanduser()
    try:
        if folder.is_dir():
            found = datasets.load_from_disk(str(folder))
        else:
            found = datasets.load_dataset(name, configuration or None)
    except Exception as error:  # the library raises nearly every kind
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"{title} cannot be loaded: {lines[0].rstrip('.')}. Check the name or the "
            "path, config.data.configuration and the network."
        ) from error
    if not isinstance(found, dict):
        raise UserError(
            f"{title} is a single split: save a DatasetDict with the splits train and "
            "test."
        )
    return found


def _columns(table: Any, image: str, label: str, title: str) -> Columns:
    """Returns the columns of a split that the config names, or the only ones.

    Args:
      table: the training split, a `datasets.Dataset`.
      image, label: the names in the config; empty: the only column of the right type.
      title: the set's name in errors.
    """
    import datasets

    kinds = {"image": datasets.Image, "label": datasets.ClassLabel}
    found = {}
    for key, given in (("image", image), ("label", label)):
        fitting = [n for n, f in table.features.items() if isinstance(f, kinds[key])]
        if given and given not in table.features:
            raise unknown(f"column of {title}", given, table.features)
        if not given and len(fitting) != 1:
            raise UserError(
                f"{title} has {len(fitting)} columns of the type "
                f"{kinds[key].__name__}: set config.data.{key}_column to one of its "
                f"columns {', '.join(table.features)}."
            )
        found[key] = given or fitting[0]
    if not isinstance(table.features[found["image"]], datasets.Image):
        raise UserError(
            f"config.data.image_column={image}: the column of {title} has no pictures; "
            "its type must be Image."
        )
    return Columns(**found)


def _classes(table: Any, column: str) -> list[str]:
    """Returns the names of the classes in a column of the training split."""
    names = getattr(table.features[column], "names", None)
    return list(names or sort_classes({str(value) for value in table[column]}))


def _reader(table: Any, columns: Columns, classes: list[str], title: str) -> Rows:
    """Returns the reader of a split.

    Raises:
      UserError: a label is not among `classes`.
    """
    import datasets

    values = list(table[columns.label])
    if not getattr(table.features[columns.label], "names", None):
        number = {name: index for index, name in enumerate(classes)}
        values = [number.get(str(value), value) for value in values]
    for index, value in enumerate(values):
        if not (isinstance(value, int) and -1 <= value < len(classes)):
            raise UserError(
                f"example {index} of {title}: the label is {value!r}, which is not a "
                "class of the training split: correct the label, or remove the example."
            )
    encoded = table.select_columns([columns.image]).cast_column(
        columns.image, datasets.Image(decode=False)
    )
    return Rows(encoded, columns.image, np.array(values, np.int32), title)
