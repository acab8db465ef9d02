"""Prepared TensorFlow Datasets, read without TensorFlow.

A set is found by its folder, `data_dir/name[/config]/version`, as TFDS lays it out.
TFDS itself would try to download a set that is not there.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.data.dataset import Dataset, assemble
from cnn_jax.data.images import check_shape
from cnn_jax.data.splits import Encoded, Records
from cnn_jax.errors import UserError, unknown
from cnn_jax.ranges import Examples, Seed, Share, Side


def load(
    name: str,
    *,
    data_dir: str | None = None,
    train_split: str = "train",
    test_split: str = "test",
    image_size: Side | None = None,
    in_memory: bool | None = None,
    train_examples: Examples | Share | None = None,
    test_examples: Examples | Share | None = None,
    subset_seed: Seed = 0,
) -> Dataset:
    """The prepared set `name[/config][:version]`, for image classification.

    Args:
      data_dir: where sets are prepared; None: $TFDS_DATA_DIR, or TFDS's default.
      train_split, test_split: splits or parts of them, as in "train[:90%]".
      image_size: pixels on a side; None: the set's own size, if all have the same.
      in_memory: hold all decoded images in memory; None: if they have one size and
        need less than 2 GiB. Sets with an `image_size` that stay on disk are
        cropped at random while training.
      train_examples, test_examples: use only that many or, below 1, only that share
        of them (1.0: all), classes in proportion.
      subset_seed: another number takes other examples to train on.

    Raises `UserError` for a set that is not prepared, not in the format
    array_record, or not one for image classification, and for an unknown split.
    """
    path = find(name, data_dir)
    info = builder(path).info
    title = f"tfds:{name}"
    image_key, label_key = _keys(info, title)
    varies = None in info.features[image_key].shape[:2]
    shape = image_shape(info.features[image_key], _sides(image_size), title)
    if in_memory is None and varies:
        in_memory = False
    train, test = (
        Records(Prepared(str(path), title, split, image_key, label_key, varies), shape)
        for split in (train_split, test_split)
    )
    for split in (train, test):
        check_split(split.reader, info, path)
    return assemble(
        train,
        test,
        classes=info.features[label_key].names,
        train_examples=train_examples,
        test_examples=test_examples,
        subset_seed=subset_seed,
        in_memory=in_memory,
        random_crop=image_size is not None,
    )


def describe(
    name: str,
    *,
    data_dir: str | None = None,
    image_size: Side | None = None,
    **_: object,
) -> tuple[tuple[str, ...], tuple[int, int, int]]:
    """The classes and the image shape of a set, prepared or known to TFDS.

    Raises `UserError` for one that is neither.
    """
    info, title = known(name, data_dir), f"tfds:{name}"
    image_key, label_key = _keys(info, title)
    shape = image_shape(info.features[image_key], _sides(image_size), title)
    return tuple(info.features[label_key].names), shape


def known(name: str, data_dir: str | None) -> Any:
    """What TFDS has to say of a set, prepared or not.

    Raises `UserError` for one that is neither prepared nor known to it.
    """
    import tensorflow_datasets as tfds

    try:
        return builder(find(name, data_dir)).info
    except UserError as unprepared:
        try:
            # A folder that is not there keeps TFDS from looking for prepared sets.
            return tfds.builder(name, data_dir=os.devnull).info
        except Exception:
            raise unprepared from None


def _sides(image_size: int | None) -> tuple[int, int] | None:
    return None if image_size is None else (image_size, image_size)


def image_shape(
    feature: Any, size: tuple[int, int] | None, title: str
) -> tuple[int, int, int]:
    """(height, width, channels) of the images of a feature, in a size of their own or
    `size`.

    Raises `UserError` where they have none of their own, or it is none.
    """
    *own, channels = feature.shape
    if None in own and size is None:
        raise UserError(f"{title} has images of many sizes: set data.image_size.")
    height, width = size or own
    for side in (height, width):
        check_shape(side, channels or 3)
    return height, width, channels or 3


def find(name: str, data_dir: str | None) -> Path:
    """The folder of a prepared set, in its newest version if none is named."""
    root = Path(
        data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    ).expanduser()
    set_name, _, version = name.partition(":")
    prepared: dict[str, list[Path]] = {}
    for info in [
        *root.glob("*/*/dataset_info.json"),
        *root.glob("*/*/*/dataset_info.json"),
    ]:
        relative = info.parent.parent.relative_to(root).as_posix()
        prepared.setdefault(relative, []).append(info.parent)
    configs = sorted(known for known in prepared if known.startswith(f"{set_name}/"))
    if set_name not in prepared and len(configs) == 1:
        set_name = configs[0]
    elif set_name not in prepared and configs:
        raise UserError(
            f"tfds:{name} is prepared in several configurations; name one: "
            f"{', '.join(configs)}."
        )
    if set_name not in prepared:
        raise UserError(_not_prepared(set_name, root, sorted(prepared)))
    versions = {path.name: path for path in prepared[set_name]}
    if version and version not in versions:
        raise unknown(f"version of tfds:{set_name} in {root}", version, versions)
    return versions[version or max(versions, key=_version_number)]


def _not_prepared(set_name: str, root: Path, prepared: list[str]) -> str:
    where = (
        f"the sets in {root} are {', '.join(prepared)}"
        if prepared
        else f"there are none in {root}"
    )
    return (
        f"tfds:{set_name} is not prepared: {where}. Set TFDS_DATA_DIR or "
        "data.data_dir to where it is, or prepare it on any machine with TensorFlow: "
        f"tfds build {set_name} --file_format=array_record --data_dir={root}"
    )


def _version_number(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def builder(path: Path) -> Any:
    """TFDS's own reader of a prepared set."""
    import tensorflow_datasets as tfds

    return tfds.builder_from_directory(path)


def _keys(info: Any, title: str) -> tuple[str, str]:
    """The names of the image and the class label among the set's features."""
    import tensorflow_datasets as tfds

    images, labels = (
        [key for key, feature in info.features.items() if type(feature) is kind]
        for kind in (tfds.features.Image, tfds.features.ClassLabel)
    )
    supervised = info.supervised_keys or ()
    if len(supervised) == 2 and supervised[0] in images and supervised[1] in labels:
        return supervised
    if len(images) == 1 and len(labels) == 1:
        return images[0], labels[0]
    raise UserError(
        f"{title} is no set for image classification, with one image and one class "
        f"label; it has {', '.join(sorted(info.features))}."
    )


def check_split(reader: "Prepared", info: Any, path: Path) -> None:
    """Raises `UserError` for a split that cannot be read, or has no examples."""
    if info.file_format.value != "array_record":
        raise UserError(
            f"{reader.title} in {path} is stored as {info.file_format.value}, which "
            "has no random access; prepare it with --file_format=array_record."
        )
    try:
        split = info.splits[reader.split]
    except (KeyError, ValueError, AssertionError):
        raise unknown(f"split of {reader.title}", reader.split, info.splits) from None
    for instruction in split.file_instructions:
        if not Path(instruction.filename).is_file():
            raise UserError(f"{instruction.filename} of {reader.title} is missing.")
    if not split.num_examples:
        raise UserError(f"split '{reader.split}' of {reader.title} is empty.")


@dataclass(frozen=True)
class Prepared:
    """Reads the encoded images of one split; opened anew in every process."""

    path: str
    title: str
    split: str
    image_key: str
    label_key: str
    large: bool

    @cached_property
    def _source(self) -> Any:
        from tensorflow_datasets import decode

        return builder(Path(self.path)).as_data_source(
            split=self.split,
            decoders={key: decode.SkipDecoding() for key in self._encoded()},
        )

    def _encoded(self) -> tuple[str, ...]:
        """The features that are files of images."""
        return (self.image_key,)

    def _label(self, stored: Any, name: str) -> Any:
        """That of `Encoded`, of the stored feature."""
        del name
        return int(stored)

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
            for i, stored in zip(some, self._source.__getitems__(some), strict=True):
                name = f"{i} of {self.title}, split '{self.split}'"
                label = self._label(stored[self.label_key], name)
                yield Encoded(stored[self.image_key], label, name)
