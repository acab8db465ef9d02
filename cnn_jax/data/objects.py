"""The user's pictures with boxes around objects, as Pascal VOC and COCO have them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cnn_jax.core import names
from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Channels, Fraction, Side
from cnn_jax.data import annotations, images
from cnn_jax.data.boxes import Annotations
from cnn_jax.data.dataset import Dataset, assemble
from cnn_jax.data.folder import existing
from cnn_jax.data.labels.boxes import BOXES, padded
from cnn_jax.data.source import Source, StandIn
from cnn_jax.data.splits import Arrays, Encoded, Records, Shape, Split
from cnn_jax.data.subset import STORED, Stored
from cnn_jax.data.walk import check_apart


def voc(
    stored: Stored = STORED,
    *,
    dir: Place = "",
    image_size: tuple[Side, ...] = (256,),
    channels: Channels = 3,
    train_split: str = "trainval",
    test_split: str = "test",
    test_fraction: Fraction = 0.2,
) -> Dataset:
    """A folder as Pascal VOC has it; see `annotations.pascal_voc`.

    Pictures are stretched to `image_size`, and boxes with them.

    Args:
      stored: how many pictures are used, and where they are held.
      dir: the folder.
      image_size: a side in pixels, or (height, width).
      channels: 3 for RGB, 1 for gray.
      train_split, test_split: of the folder's `ImageSets/Main`.
      test_fraction: where the folder has no splits, the share of its pictures, chosen
        by their names alone, that is for the test.

    Raises:
      UserError: as `annotations.pascal_voc`, for a split that is not there, a picture
        in both splits, a split without boxes, and a picture whose size is not the size
        in its annotation.
    """
    found = annotations.pascal_voc(existing(dir), splits=(train_split, test_split))
    if set(found) == {"all"}:
        train, test = _divided(found["all"], test_fraction)
    else:
        train, test = found[train_split], found[test_split]
    check_apart(train.paths, test.paths, named_twice=train_split == test_split)
    return _with_boxes(train, test, image_size, channels, stored)


def coco(
    stored: Stored = STORED,
    *,
    dir: Place = "",
    image_size: tuple[Side, ...] = (256,),
    channels: Channels = 3,
    train_split: str = "train2017",
    test_split: str = "val2017",
) -> Dataset:
    """A folder as COCO has it: pictures in `dir/<split>`, and boxes in
    `dir/annotations/instances_<split>.json`.

    Pictures are stretched to `image_size`, and boxes with them.

    Args:
      stored, dir, image_size, channels: see `voc`.
      train_split, test_split: names of the splits.

    Raises:
      UserError: as `annotations.coco`, for splits of different classes, a picture in
        both splits, a split without boxes, and a picture whose size is not the size in
        its annotation.
    """
    root = existing(dir)
    train, test = (
        annotations.coco(root / "annotations" / f"instances_{s}.json", root / s)
        for s in (train_split, test_split)
    )
    if train.classes != test.classes:
        raise UserError(
            f"the splits '{train_split}' and '{test_split}' of {dir} have different "
            "classes."
        )
    check_apart(train.paths, test.paths, named_twice=train_split == test_split)
    return _with_boxes(train, test, image_size, channels, stored)


SCENES = StandIn("digit_scenes", {"labels": BOXES.name})
VOC = Source("voc", voc, takes=Stored, stand_in=SCENES)
COCO = Source("coco", coco, takes=Stored, stand_in=SCENES)


@dataclass(frozen=True)
class BoxFiles:
    """Pictures, their sizes (height, width), and boxes in their pixels."""

    paths: tuple[str, ...]
    sizes: np.ndarray
    boxes: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def labels(self) -> None:
        return None

    def read(self, indices: Sequence[int]) -> Iterable[Encoded]:
        for i in indices:
            path = self.paths[i]
            yield Encoded(path, (self.boxes[i], self.sizes[i]), path)


@dataclass(frozen=True)
class BoxRecords(Records):
    """Pictures on the disk with boxes, `most` rows of each; see `Records`."""

    most: int = 1
    label_type: ClassVar[np.dtype] = BOXES.dtype

    @property
    def label_shape(self) -> Shape:
        return (self.most, 5)

    def kept(self) -> Sequence[int] | np.ndarray:
        """The indices of the split's pictures in its reader."""
        return range(len(self.reader)) if self.indices is None else self.indices

    def decoded(self, example: Encoded, rng: np.random.Generator | None) -> dict:
        del rng
        rows, size = example.label
        scale = np.divide(self.image_shape[:2], size)
        scaled = np.concatenate([rows[:, :1], rows[:, 1:] * np.tile(scale, 2)], axis=1)
        label = padded(scaled, self.most)
        image = images.annotated(example.picture, self.image_shape, _turned(size))
        return {"image": image, "label": label}

    def check(self) -> None:
        """Raises `UserError` for a picture of another size than its annotation.

        Headers of files are read, and no picture is decoded.
        """
        for example in self.reader.read(self.kept()):
            images.placement(example.picture, _turned(example.label[1]))


def _turned(size: np.ndarray) -> tuple[int, int]:
    """(width, height) of (height, width)."""
    height, width = map(int, size)
    return width, height


def _with_boxes(
    train: Annotations,
    test: Annotations,
    image_size: tuple[int, ...],
    channels: int,
    stored: Stored,
) -> Dataset:
    images.check_shape(min(images.sides(image_size)), channels)
    shape = (*images.sides(image_size), channels)
    most = max(len(rows) for known in (train, test) for rows in known.boxes)
    splits = {
        role: BoxRecords(
            BoxFiles(known.paths, known.sizes, tuple(known.labels())),
            shape,
            most=max(most, 1),
        )
        for role, known in (("train", train), ("test", test))
    }
    _check_boxes(splits)
    dataset = assemble(
        **splits,
        classes=train.classes,
        subset=stored,
        in_memory=stored.in_memory,
        label_kind=BOXES.name,
    )
    _check_boxes(dataset.splits)  # of the pictures that were kept
    for split in dataset.splits.values():
        if isinstance(split, BoxRecords):  # decoding has checked pictures in memory
            split.check()
    return dataset


def _check_boxes(splits: Mapping[str, Split]) -> None:
    """Raises `UserError` for a split where there is nothing to find."""
    for role, split in splits.items():
        if not _has_boxes(split):
            raise UserError(
                f"no picture of the {role} split has an object with a box that counts "
                "(difficult and crowded objects do not)."
            )


def _has_boxes(split: Split) -> bool:
    if isinstance(split, Arrays):
        return bool((split.labels[..., 0] >= 0).any())
    return any((split.reader.boxes[i][:, 0] >= 0).any() for i in split.kept())


def _divided(known: Annotations, fraction: float) -> tuple[Annotations, Annotations]:
    """Those to train on and to test on, by a hash of the pictures' names."""
    order = sorted(
        range(len(known.paths)),
        key=lambda i: names.digest(known.paths[i]),
    )
    count = max(1, round(len(order) * fraction))
    if count >= len(order):
        raise UserError("there are too few pictures: none is left to train on.")
    return tuple(
        Annotations(
            paths=tuple(known.paths[i] for i in part),
            sizes=known.sizes[part],
            boxes=tuple(known.boxes[i] for i in part),
            exempt=tuple(known.exempt[i] for i in part),
            classes=known.classes,
        )
        for part in (sorted(order[count:]), sorted(order[:count]))
    )
