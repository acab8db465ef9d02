"""The user's pictures with a label for every pixel, or with boxes around objects."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from cnn_jax.data import annotations, images
from cnn_jax.data.annotations import Annotations
from cnn_jax.data.dataset import IGNORED, Dataset, Encoded, Records, Shape, assemble
from cnn_jax.data.folder import SUFFIXES
from cnn_jax.errors import UserError

Pair = tuple[Path, Path]


def masks(
    *,
    dir: str = "",
    image_size: tuple[int, ...] = (256,),
    channels: int = 3,
    classes: tuple[str, ...] = (),
    ignored: tuple[int, ...] = (),
    train_split: str = "train",
    test_split: str = "test",
    mask_folder: str = "{split}annot",
    in_memory: bool | None = None,
    train_examples: int | float | None = None,
    test_examples: int | float | None = None,
    subset_seed: int = 0,
) -> Dataset:
    """Pictures in `dir/<split>`, and masks of the same names in other folders.

    A mask is a picture of one channel, grey or with a palette, whose values are
    classes. Pictures are stretched to `image_size`, and masks take the value that is
    nearest.

    Args:
      dir: the folder.
      image_size: a side in pixels, or (height, width).
      channels: 3 for RGB, 1 for grey.
      classes: their names, in the order of the masks' values; empty: as many numbers as
        there are in the training masks.
      ignored: further values of masks, beside 255, whose pixels have no class.
      train_split, test_split: folders of pictures, several with + between them.
      mask_folder: of a split's masks.
      in_memory: hold all decoded pictures in memory; None: if they need less than
        2 GiB.
      train_examples, test_examples, subset_seed: see `folder.load`.

    Raises:
      UserError: a folder or a mask that is missing, or a value without a class.
    """
    images.check_shape(min(images.sides(image_size)), channels)
    root = _root(dir)
    splits = [_pairs(root, split, mask_folder) for split in (train_split, test_split)]
    names = classes or tuple(map(str, range(_count(splits[0], ignored))))
    table = np.full(256, -1, np.int16)
    table[: len(names)] = range(len(names))
    table[[IGNORED, *ignored]] = IGNORED
    shape = (*images.sides(image_size), channels)
    train, test = (MaskRecords(MaskFiles(tuple(p), table), shape) for p in splits)
    return assemble(
        train,
        test,
        classes=names,
        train_examples=train_examples,
        test_examples=test_examples,
        subset_seed=subset_seed,
        in_memory=in_memory,
        label_kind="pixels",
    )


def voc(
    *,
    dir: str = "",
    image_size: tuple[int, ...] = (256,),
    channels: int = 3,
    train_split: str = "trainval",
    test_split: str = "test",
    test_fraction: float = 0.2,
    in_memory: bool | None = None,
    train_examples: int | float | None = None,
    test_examples: int | float | None = None,
    subset_seed: int = 0,
) -> Dataset:
    """A folder as Pascal VOC has it; see `annotations.pascal_voc`.

    Pictures are stretched to `image_size`, and boxes with them.

    Args:
      dir: the folder.
      image_size: a side in pixels, or (height, width).
      channels: 3 for RGB, 1 for grey.
      train_split, test_split: of the folder's `ImageSets/Main`.
      test_fraction: where the folder has no splits, the share of its pictures, chosen
        by their names alone, that is for the test.
      in_memory: hold all decoded pictures in memory; None: if they need less than
        2 GiB.
      train_examples, test_examples, subset_seed: see `folder.load`.

    Raises:
      UserError: as `annotations.pascal_voc`, and for a split that is not there.
    """
    found = annotations.pascal_voc(_root(dir))
    if set(found) == {"all"}:
        if not 0 < test_fraction < 1:
            raise UserError(
                f"data.test_fraction is {test_fraction}; it must lie between 0 and 1."
            )
        train, test = _divided(found["all"], test_fraction)
    else:
        for split in (train_split, test_split):
            if split not in found:
                known = ", ".join(found)
                raise UserError(f"{dir} has no split '{split}'. There are: {known}.")
        train, test = found[train_split], found[test_split]
    return _with_boxes(
        train,
        test,
        image_size,
        channels,
        in_memory=in_memory,
        train_examples=train_examples,
        test_examples=test_examples,
        subset_seed=subset_seed,
    )


def coco(
    *,
    dir: str = "",
    image_size: tuple[int, ...] = (256,),
    channels: int = 3,
    train_split: str = "train2017",
    test_split: str = "val2017",
    in_memory: bool | None = None,
    train_examples: int | float | None = None,
    test_examples: int | float | None = None,
    subset_seed: int = 0,
) -> Dataset:
    """A folder as COCO has it: pictures in `dir/<split>`, and boxes in
    `dir/annotations/instances_<split>.json`.

    Pictures are stretched to `image_size`, and boxes with them.

    Args:
      dir, image_size, channels, in_memory: see `voc`.
      train_split, test_split: names of the splits.
      train_examples, test_examples, subset_seed: see `folder.load`.

    Raises:
      UserError: as `annotations.coco`, and for splits of different classes.
    """
    root = _root(dir)
    train, test = (
        annotations.coco(root / "annotations" / f"instances_{s}.json", root / s)
        for s in (train_split, test_split)
    )
    if train.classes != test.classes:
        raise UserError(
            f"the splits '{train_split}' and '{test_split}' of {dir} have different "
            "classes."
        )
    return _with_boxes(
        train,
        test,
        image_size,
        channels,
        in_memory=in_memory,
        train_examples=train_examples,
        test_examples=test_examples,
        subset_seed=subset_seed,
    )


@dataclass(frozen=True)
class MaskFiles:
    """Pictures and their masks; `table` has the class of each value, -1 for none."""

    pairs: tuple[Pair, ...]
    table: np.ndarray = field(repr=False)

    def __len__(self) -> int:
        return len(self.pairs)

    def labels(self) -> None:
        return None

    def read(self, indices: Sequence[int]) -> Iterable[Encoded]:
        for i in indices:
            picture, mask = map(str, self.pairs[i])
            yield Encoded(picture, (mask, self.table), picture)


@dataclass(frozen=True)
class MaskRecords(Records):
    """Pictures on the disk with labels for their pixels; see `Records`."""

    label_type: ClassVar[np.dtype] = np.dtype(np.uint8)

    @property
    def label_shape(self) -> Shape:
        return self.image_shape[:2]

    def decoded(self, example: Encoded, rng: np.random.Generator | None) -> dict:
        del rng
        file, table = example.label
        height, width = self.label_shape
        mask = _mask(Path(file)).resize((width, height), Image.Resampling.NEAREST)
        label = table[np.asarray(mask)]
        if label.min() < 0:
            value = np.asarray(mask)[label < 0][0]
            raise UserError(
                f"mask {file} has the value {value}, which is no class: name more of "
                "data.classes, or add it to data.ignored."
            )
        image = images.stretch(example.picture, self.image_shape, example.name)
        return {"image": image, "label": label.astype(np.uint8)}


@dataclass(frozen=True)
class BoxFiles:
    """Pictures, and boxes in their pixels."""

    known: Annotations

    def __len__(self) -> int:
        return len(self.known.paths)

    def labels(self) -> None:
        return None

    def read(self, indices: Sequence[int]) -> Iterable[Encoded]:
        labels = self.known.labels()
        for i in indices:
            path = self.known.paths[i]
            yield Encoded(path, (labels[i], self.known.sizes[i]), path)


@dataclass(frozen=True)
class BoxRecords(Records):
    """Pictures on the disk with boxes, `most` rows of each; see `Records`."""

    most: int = 1
    label_type: ClassVar[np.dtype] = np.dtype(np.float32)

    @property
    def label_shape(self) -> Shape:
        return (self.most, 5)

    def decoded(self, example: Encoded, rng: np.random.Generator | None) -> dict:
        del rng
        rows, size = example.label
        scale = np.divide(self.image_shape[:2], size)
        label = np.zeros(self.label_shape, np.float32)
        label[:, 0] = -1
        label[: len(rows), 0] = rows[:, 0]
        label[: len(rows), 1:] = rows[:, 1:] * np.tile(scale, 2)
        image = images.stretch(example.picture, self.image_shape, example.name)
        return {"image": image, "label": label}


def _with_boxes(
    train: Annotations,
    test: Annotations,
    image_size: tuple[int, ...],
    channels: int,
    **options,
) -> Dataset:
    images.check_shape(min(images.sides(image_size)), channels)
    shape = (*images.sides(image_size), channels)
    most = max(len(rows) for known in (train, test) for rows in known.boxes)
    splits = (BoxRecords(BoxFiles(k), shape, most=max(most, 1)) for k in (train, test))
    return assemble(*splits, classes=train.classes, label_kind="boxes", **options)


def _divided(known: Annotations, fraction: float) -> tuple[Annotations, Annotations]:
    """Those to train on and to test on, by a hash of the pictures' names."""
    order = sorted(
        range(len(known.paths)),
        key=lambda i: hashlib.sha256(Path(known.paths[i]).name.encode()).digest(),
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


def _root(dir: str) -> Path:
    if not dir:
        raise UserError("data.dir is not set: the folder that holds the pictures.")
    root = Path(dir).expanduser()
    if not root.is_dir():
        missing = "is not a folder" if root.exists() else "does not exist"
        raise UserError(f"data.dir {root} {missing}.")
    return root


def _pairs(root: Path, splits: str, mask_folder: str) -> list[Pair]:
    """The pictures of some splits and their masks."""
    pairs = []
    for split in splits.split("+"):
        folders = [root / split, root / mask_folder.replace("{split}", split)]
        for folder in folders:
            if not folder.is_dir():
                raise UserError(
                    f"there is no folder {folder}: data.train_split, data.test_split "
                    "and data.mask_folder say where pictures and masks are."
                )
        known = {
            path.stem: path
            for path in folders[1].iterdir()
            if path.suffix.lower() in SUFFIXES
        }
        found = [
            path
            for path in sorted(folders[0].iterdir())
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
        ]
        if not found:
            raise UserError(f"{folders[0]} holds no pictures.")
        for path in found:
            if path.stem not in known:
                raise UserError(f"{path} has no mask in {folders[1]}.")
            pairs.append((path, known[path.stem]))
    return pairs


def _count(pairs: Sequence[Pair], ignored: tuple[int, ...]) -> int:
    """One more than the largest class in the masks."""
    values = np.zeros(256, bool)
    for _, mask in pairs:
        values[np.unique(np.asarray(_mask(mask)))] = True
    values[[IGNORED, *ignored]] = False
    if not values.any():
        raise UserError("no pixel of the training masks has a class.")
    return int(np.flatnonzero(values).max()) + 1


def _mask(path: Path) -> Image.Image:
    """A mask, whose pixels are the values as they are stored."""
    try:
        with Image.open(path) as mask:
            mask.load()
    except Exception as error:
        raise UserError(f"mask {path} cannot be read: {error}.") from None
    if mask.mode not in ("L", "P", "1"):
        raise UserError(
            f"mask {path} has colours (mode {mask.mode}): its values must be classes."
        )
    return mask.convert("L") if mask.mode == "1" else mask
