"""Prepared TensorFlow Datasets, read without TensorFlow.

`tfds_files` looks for the folder of a set and checks its files.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cnn_jax.core.errors import UserError, unknown
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Side
from cnn_jax.data import decoding, tfds_files
from cnn_jax.data.dataset import Dataset, assemble
from cnn_jax.data.images import check_shape
from cnn_jax.data.roles import Roles
from cnn_jax.data.source import DIGITS, Description, Source, StandIn
from cnn_jax.data.splits import Encoded, Records
from cnn_jax.data.subset import PICTURES, Pictures

Same = TypeVar("Same", bound="Prepared")
TEST, VAL = "test", "validation"  # names of splits in most sets of TFDS


def load(
    name: str,
    stored: Pictures = PICTURES,
    *,
    data_dir: Place | None = None,
    train_split: str = "train",
    test_split: str = TEST,
    image_size: Side | None = None,
) -> Dataset:
    """Returns the prepared set `name[/config][:version]`, for image classification.

    Args:
      name: the name of the set.
      stored: which examples are used, where they are held, and how their images are
        cropped. By default, images of many sizes are not held in memory.
      data_dir: the folder of the prepared sets; None: $TFDS_DATA_DIR, or TFDS's default
        folder.
      train_split, test_split: the names of splits, or parts of splits such as
        "train[:90%]".
      image_size: pixels on a side; None: the size of the stored images, if they all
        have one size.

    Raises:
      UserError: the set is not prepared, not in the format array_record, or not for
        image classification; or a split is unknown.
    """
    path = tfds_files.find(name, data_dir)
    info = tfds_files.builder(path).info
    title = f"tfds:{name}"
    image_key, label_key = _keys(info, title)
    varies = None in info.features[image_key].shape[:2]
    shape = image_shape(info.features[image_key], _sides(image_size), title)
    classes = info.features[label_key].names
    in_memory = stored.in_memory
    if in_memory is None and varies:
        in_memory = False
    splits = {
        role: Records(
            Prepared(
                path=str(path),
                title=title,
                split=split,
                image_key=image_key,
                label_key=label_key,
                large=varies,
                classes=len(classes),
            ),
            shape,
            **stored.transform(),
        )
        for role, split in named(stored, train_split, test_split, info.splits).items()
    }
    for split in splits.values():
        check_split(split, info)
    return assemble(
        stored.of(splits),
        classes=classes,
        in_memory=in_memory,
    )


def named(
    stored: Roles, train: str, test: str, known: Container[str]
) -> dict[str, str]:
    """Returns the names of the splits to read, by their roles.

    The set's own split "validation" becomes "val", unless it is read for another role.

    Args:
      stored: the config keys that choose the validation split.
      train, test: the names of the splits for training and testing.
      known: the names of the splits of the set.
    """
    read = f"{train} {test}"
    default = VAL if VAL in known and VAL not in read else None
    val = stored.own(default)
    return {"train": train, "test": test} | ({"val": val} if val else {})


def describe(
    name: str,
    *,
    data_dir: str | None = None,
    image_size: Side | None = None,
    **_: object,
) -> Description:
    """Returns the classes and the shapes of a set, without reading its examples.

    Args:
      name: the name of the set, `name[/config][:version]`.
      data_dir, image_size: see `load`.

    Raises:
      UserError: the set is neither prepared nor known to TFDS.
    """
    info, title = tfds_files.known(name, data_dir), f"tfds:{name}"
    image_key, label_key = _keys(info, title)
    shape = image_shape(info.features[image_key], _sides(image_size), title)
    return Description(tuple(info.features[label_key].names), shape)


SOURCE = Source(
    "tfds",
    load,
    takes=Pictures,
    named=True,
    describer=describe,
    stand_in=DIGITS,
    stand_ins={"mnist": StandIn(image_size=28, channels=1)},
    perturbed=True,
)


def _sides(image_size: int | None) -> tuple[int, int] | None:
    return None if image_size is None else (image_size, image_size)


def image_shape(
    feature: Any, size: tuple[int, int] | None, title: str
) -> tuple[int, int, int]:
    """Returns (height, width, channels) of the images in a batch.

    Args:
      feature: TFDS's description of the feature that holds the images.
      size: (height, width) in the config; None: the size of the stored images.
      title: the set's name in errors.

    Raises:
      UserError: `size` is None and the images have several sizes; the size is not
        valid; or the images do not have 1 or 3 channels of uint8 or uint16.
    """
    *own, channels = feature.shape
    if feature.np_dtype not in (np.uint8, np.uint16) or channels not in (None, 1, 3):
        raise UserError(
            f"{title} has images with {channels} channels of {feature.np_dtype}; they "
            "must have 1 or 3 channels of uint8 or uint16."
        )
    if None in own and size is None:
        raise UserError(f"{title} has images of many sizes: set data.image_size.")
    height, width = size or own
    for side in (height, width):
        check_shape(side, channels or 3)
    return height, width, channels or 3


def _keys(info: Any, title: str) -> tuple[str, str]:
    """Returns the names of the features that hold the images and the class labels.

    Args:
      info: TFDS's description of the set.
      title: the set's name in errors.

    Raises:
      UserError: the set does not have one image and one class label per example.
    """
    import tensorflow_datasets as tfds

    images, labels = (
        [key for key, feature in info.features.items() if type(feature) is kind]
        for kind in (tfds.features.Image, tfds.features.ClassLabel)
    )
    supervised: Sequence[str] = info.supervised_keys or ()
    if len(supervised) == 2 and supervised[0] in images and supervised[1] in labels:
        return supervised[0], supervised[1]
    if len(images) == 1 and len(labels) == 1:
        return images[0], labels[0]
    raise UserError(
        f"{title} is not a set for image classification, with one image and one class "
        f"label. Its features are {', '.join(sorted(info.features))}. Choose another "
        "set."
    )


def check_split(split: Records, info: Any) -> None:
    """Checks a split of a prepared set. The check reads the first example.

    Args:
      split: the split, with a reader of the class `Prepared`.
      info: TFDS's description of the set.

    Raises:
      UserError: the split cannot be read, has no examples, or its first image does not
        have the size that the metadata of the set states.
    """
    reader = split.reader
    assert isinstance(reader, Prepared)
    if info.file_format.value != "array_record":
        raise UserError(
            f"{reader.title} in {reader.path} is stored as {info.file_format.value}, "
            "which has no random access: prepare the set again, with "
            "--file_format=array_record."
        )
    try:
        found = info.splits[reader.split]
    except (KeyError, ValueError, AssertionError):
        raise unknown(f"split of {reader.title}", reader.split, info.splits) from None
    tfds_files.check_shards(found, Path(reader.path), reader.title)
    if found.num_examples < 1:  # it is negative for "train[5:2]"
        raise UserError(
            f"split '{reader.split}' of {reader.title} is empty: choose another split."
        )
    (first,) = reader.read([0])
    split.decoded(first, None)
    with decoding.opened(first.picture, f"image {first.name}") as image:
        stored = image.size[::-1]
    declared = info.features[reader.image_key].shape[:2]
    if any(a not in (None, b) for a, b in zip(declared, stored, strict=True)):
        raise UserError(
            f"image {first.name} has {stored[0]}x{stored[1]} pixels (height x width), "
            f"but {reader.path}/features.json says {declared[0]}x{declared[1]}: "
            "prepare the set again."
        )


@dataclass(frozen=True)
class Prepared:
    """A reader of the encoded images in one split of a prepared set.

    Each process opens the files of the set itself. An example that cannot be read
    raises a `UserError` that names its file.

    Attributes:
      path: the folder of the set.
      title: the set's name in errors.
      split: the name of the split, or a part of a split such as "train[:90%]".
      image_key: the name of the feature that holds the images.
      label_key: the name of the feature that holds the labels.
      large: whether reading all labels would take too long, as for images of many
        sizes.
      classes: the number of classes.
    """

    path: str
    title: str
    split: str
    image_key: str
    label_key: str
    large: bool
    classes: int

    @cached_property
    def _source(self) -> Any:
        from tensorflow_datasets import decode

        with tfds_files.damaged(f"{self.title} in {self.path}"):
            return tfds_files.builder(Path(self.path)).as_data_source(
                split=self.split,
                decoders={key: decode.SkipDecoding() for key in self._encoded()},
            )

    def _encoded(self) -> tuple[str, ...]:
        """Returns the names of the features whose values are encoded image files."""
        return (self.image_key,)

    def _label(self, stored: Any, name: str) -> Any:
        """Returns the label for `Encoded`, given the label that the set stores.

        The label -1 means that the example has no label.

        Args:
          stored: the stored label.
          name: the example's name in errors.
        """
        label = int(stored)
        if not -1 <= label < self.classes:
            raise UserError(
                f"example {name}: the label is {label}; for {self.classes} classes, it "
                f"must be from 0 to {self.classes - 1}, or -1 for no label. Prepare "
                "the set again."
            )
        return label

    @property
    def paths(self) -> None:
        return None

    def __getstate__(self) -> dict:
        return {key: self.__dict__[key] for key in self.__dataclass_fields__}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)

    def __len__(self) -> int:
        return len(self._source)

    def joined(self: Same, other: Same) -> Same:
        return replace(self, split=f"{self.split}+{other.split}")

    def labels(self) -> np.ndarray | None:
        if self.large:
            return None
        stored = self.read(range(len(self)))
        return np.fromiter((example.label for example in stored), np.int32, len(self))

    def read(self, indices: Sequence[int]) -> Iterator[Encoded]:
        for start in range(0, len(indices), 1024):
            some = list(indices[start : start + 1024])
            found: Iterable[Encoded]
            try:
                stored = self._source.__getitems__(some)
                found = list(map(self._example, some, stored))
            except Exception:
                found = map(self._alone, some)  # to find the damaged example
            yield from found

    def _alone(self, index: int) -> Encoded:
        with tfds_files.damaged(f"{self._shard(index)}: example {self._name(index)}"):
            return self._example(index, self._source[index])

    def _example(self, index: int, stored: Any) -> Encoded:
        name = self._name(index)
        picture = stored[self.image_key]
        if not isinstance(picture, bytes):
            raise ValueError(f"its feature '{self.image_key}' is not an encoded image")
        return Encoded(picture, self._label(stored[self.label_key], name), name)

    def _name(self, index: int) -> str:
        return f"{index} of {self.title}, split '{self.split}'"

    def _shard(self, index: int) -> str:
        """Returns the path of the file that holds the example `index`."""
        shards = self._source.dataset_info.splits[self.split].file_instructions
        for shard in shards:
            if index < shard.take:
                break
            index -= shard.take
        return shard.filename
