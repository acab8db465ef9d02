"""Prepared TensorFlow Datasets, read without TensorFlow.

`tfds_files` finds a set and checks its files.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.core.errors import UserError, unknown
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Side
from cnn_jax.data import decoding, tfds_files
from cnn_jax.data.dataset import Dataset, assemble
from cnn_jax.data.images import check_shape
from cnn_jax.data.source import DIGITS, Description, Source, StandIn
from cnn_jax.data.splits import Encoded, Records
from cnn_jax.data.subset import STORED, Stored


def load(
    name: str,
    stored: Stored = STORED,
    *,
    data_dir: Place | None = None,
    train_split: str = "train",
    test_split: str = "test",
    image_size: Side | None = None,
) -> Dataset:
    """Returns the prepared set `name[/config][:version]`, for image classification.

    Args:
      stored: how many examples are used, and where they are held. By default, sets with
        images of many sizes are not held in memory. Sets with an `image_size` that stay
        on disk are cropped at random in training.
      data_dir: the folder of prepared sets; None: $TFDS_DATA_DIR, or TFDS's default.
      train_split, test_split: splits or parts of splits, such as "train[:90%]".
      image_size: pixels on a side; None: the set's own size, if all images have the
        same.

    Raises `UserError` if the set is not prepared, not in the format array_record, or
    not for image classification, or if a split is unknown.
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
    train, test = (
        Records(
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
        )
        for split in (train_split, test_split)
    )
    for split in (train, test):
        check_split(split, info)
    return assemble(
        train,
        test,
        classes=classes,
        subset=stored,
        in_memory=in_memory,
        random_crop=image_size is not None,
    )


def describe(
    name: str,
    *,
    data_dir: str | None = None,
    image_size: Side | None = None,
    **_: object,
) -> Description:
    """Returns the facts of a set without its examples.

    Raises `UserError` if the set is neither prepared nor known to TFDS.
    """
    info, title = tfds_files.known(name, data_dir), f"tfds:{name}"
    image_key, label_key = _keys(info, title)
    shape = image_shape(info.features[image_key], _sides(image_size), title)
    return Description(tuple(info.features[label_key].names), shape)


SOURCE = Source(
    "tfds",
    load,
    takes=Stored,
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
    """Returns (height, width, channels) of a feature's images, in `size` or their own.

    Raises `UserError` if there is no `size` and the images have several sizes, if the
    size is not valid, and if the images are not pictures of uint8 or uint16 with 1 or 3
    channels.
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
    """Returns the names of the image and the class label among the set's features."""
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
        f"label; it has {', '.join(sorted(info.features))}."
    )


def check_split(split: Records, info: Any) -> None:
    """Checks a split of a prepared set, and reads its first example.

    Raises `UserError` if the split cannot be read or has no examples, or if its images
    do not have the size that the set states.
    """
    reader = split.reader
    assert isinstance(reader, Prepared)
    if info.file_format.value != "array_record":
        raise UserError(
            f"{reader.title} in {reader.path} is stored as {info.file_format.value}, "
            "which has no random access; prepare it with --file_format=array_record."
        )
    try:
        found = info.splits[reader.split]
    except (KeyError, ValueError, AssertionError):
        raise unknown(f"split of {reader.title}", reader.split, info.splits) from None
    tfds_files.check_shards(found, Path(reader.path), reader.title)
    if found.num_examples < 1:  # it is negative for "train[5:2]"
        raise UserError(f"split '{reader.split}' of {reader.title} is empty.")
    (first,) = reader.read([0])
    split.decoded(first, None)
    with decoding.opened(first.picture, f"image {first.name}") as image:
        stored = image.size[::-1]
    declared = info.features[reader.image_key].shape[:2]
    if any(a not in (None, b) for a, b in zip(declared, stored, strict=True)):
        raise UserError(
            f"image {first.name} has {stored[0]}x{stored[1]} pixels (height x width), "
            f"and {reader.path}/features.json says {declared[0]}x{declared[1]}."
        )


@dataclass(frozen=True)
class Prepared:
    """A reader of the encoded images of one split, opened anew in every process.

    Raises `UserError` with the name of the shard for an example that cannot be read.
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
        """Returns the names of the features that are image files."""
        return (self.image_key,)

    def _label(self, stored: Any, name: str) -> Any:
        """Returns the label of an `Encoded` example; -1 means that there is none."""
        label = int(stored)
        if not -1 <= label < self.classes:
            raise UserError(
                f"example {name}: its label is {label}, and there are {self.classes} "
                "classes."
            )
        return label

    def __getstate__(self) -> dict:
        return {key: self.__dict__[key] for key in self.__dataclass_fields__}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)

    def __len__(self) -> int:
        return len(self._source)

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
        """Returns the file that holds an example."""
        shards = self._source.dataset_info.splits[self.split].file_instructions
        for shard in shards:
            if index < shard.take:
                break
            index -= shard.take
        return shard.filename
