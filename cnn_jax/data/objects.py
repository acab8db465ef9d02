"""Pictures with boxes around objects: code that the sources `voc` and `coco` share."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from cnn_jax.core.errors import UserError
from cnn_jax.data import images
from cnn_jax.data.boxes import Annotations
from cnn_jax.data.dataset import Dataset, assemble
from cnn_jax.data.labels.boxes import BOXES, padded
from cnn_jax.data.source import StandIn
from cnn_jax.data.splits import Encoded, Records, Shape
from cnn_jax.data.subset import Stored

# The embedded data that stands in for these sources in a smoke run.
SCENES = StandIn("digit_scenes", {"labels": BOXES.name})


@dataclass(frozen=True)
class BoxFiles:
    """A reader of pictures with boxes.

    Attributes:
      paths: the paths of the pictures.
      sizes: (height, width) of each picture in pixels, [n, 2].
      boxes: one array per picture with the rows (class, top, left, bottom, right). The
        edges are in pixels of the picture.
    """

    paths: tuple[str, ...]
    sizes: np.ndarray
    boxes: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def labels(self) -> None:
        return None

    def joined(self, other: "BoxFiles") -> "BoxFiles":
        return BoxFiles(
            self.paths + other.paths,
            np.concatenate([self.sizes, other.sizes]),
            self.boxes + other.boxes,
        )

    def read(self, indices: Sequence[int]) -> Iterable[Encoded]:
        for i in indices:
            path = self.paths[i]
            yield Encoded(path, (self.boxes[i], self.sizes[i]), path)


@dataclass(frozen=True)
class BoxRecords(Records):
    """A split of pictures with boxes on the disk; see `Records`.

    Attributes:
      reader: the reader of the pictures and their boxes.
      most: the number of rows in a label. Labels with fewer boxes are padded; see
        `labels.boxes.padded`.
    """

    reader: BoxFiles
    most: int = 1
    label_type: ClassVar[np.dtype] = BOXES.dtype

    @property
    def label_shape(self) -> Shape:
        return (self.most, 5)

    def kept(self) -> Sequence[int]:
        """Returns the reader's indices of the pictures in this split."""
        if self.indices is None:
            return range(len(self.reader))
        return self.indices.tolist()

    def decoded(self, example: Encoded, rng: np.random.Generator | None) -> dict:
        del rng
        rows, size = example.label
        scale = np.divide(self.image_shape[:2], size)
        scaled = np.concatenate([rows[:, :1], rows[:, 1:] * np.tile(scale, 2)], axis=1)
        label = padded(scaled, self.most)
        image = images.annotated(example.path, self.image_shape, _turned(size))
        return {"image": image, "label": label}

    def check(self) -> None:
        """Raises `UserError` if a picture has another size than its annotation states.

        The method reads only the headers of the files.
        """
        for example in self.reader.read(self.kept()):
            images.placement(example.path, _turned(example.label[1]))


def _turned(size: np.ndarray) -> tuple[int, int]:
    """Returns (width, height), given a size as (height, width)."""
    height, width = map(int, size)
    return width, height


def with_boxes(
    parts: Mapping[str, Annotations],
    image_size: tuple[int, ...],
    channels: int,
    stored: Stored,
    root: Path,
) -> Dataset:
    """Returns the data set of annotated pictures.

    Pictures and their boxes are stretched to `image_size`.

    Args:
      parts: the paths and the boxes of the pictures in each split, by role.
      image_size: a side in pixels, or (height, width).
      channels: 3 for RGB, 1 for gray.
      stored: how many pictures are used, and whether they are held in memory.
      root: the folder of the data.

    Raises:
      UserError: a split has no boxes, or the size of a picture differs from the size in
        its annotation.
    """
    images.check_shape(min(images.sides(image_size)), channels)
    shape = (*images.sides(image_size), channels)
    most = max(len(rows) for known in parts.values() for rows in known.boxes)
    splits = {
        role: BoxRecords(
            BoxFiles(known.paths, known.sizes, tuple(known.labels())),
            shape,
            most=max(most, 1),
        )
        for role, known in parts.items()
    }
    kept = stored.of(splits)
    _check_boxes(kept)
    dataset = assemble(
        kept,
        classes=parts["train"].classes,
        in_memory=stored.in_memory,
        label_kind=BOXES.name,
        root=str(root),
    )
    for split in dataset.splits.values():
        if isinstance(split, BoxRecords):  # into_memory has checked the sizes
            split.check()
    return dataset


def _check_boxes(splits: Mapping[str, BoxRecords]) -> None:
    """Raises `UserError` if no picture of a split has a box that the evaluation counts.

    Args:
      splits: the splits by their roles.
    """
    for role, split in splits.items():
        if not any((split.reader.boxes[i][:, 0] >= 0).any() for i in split.kept()):
            raise UserError(
                f"the {role} split has no objects with boxes, or only difficult and "
                "crowded objects, which do not count: add pictures with other objects, "
                "or choose another split."
            )
