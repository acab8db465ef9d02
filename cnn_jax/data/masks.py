"""The user's pictures with a label for every pixel."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from cnn_jax.data import images
from cnn_jax.data.dataset import IGNORED, Dataset, assemble
from cnn_jax.data.folder import SUFFIXES, existing
from cnn_jax.data.splits import Encoded, Records, Shape
from cnn_jax.errors import UserError

Pair = tuple[Path, Path]


def load(
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
    root = existing(dir)
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
    with images.blamed(f"mask {path}"), Image.open(path) as mask:
        mask.load()
    if mask.mode not in ("L", "P", "1"):
        raise UserError(
            f"mask {path} has colours (mode {mask.mode}): its values must be classes."
        )
    return mask.convert("L") if mask.mode == "1" else mask
