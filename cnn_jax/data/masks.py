"""The user's pictures with masks: a class label for every pixel."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.core import names
from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Bands, Level, Side
from cnn_jax.data import images, mask_records
from cnn_jax.data.dataset import Dataset, assemble
from cnn_jax.data.folder import VAL_NAMES, existing, warn_unread
from cnn_jax.data.labels.pixels import IGNORED, PIXELS
from cnn_jax.data.mask_records import MaskFiles, MaskRecords, Pair
from cnn_jax.data.source import BANDED_FILES, Source, StandIn
from cnn_jax.data.splits import Arrays
from cnn_jax.data.subset import RANGED_STORED, RangedStored, Stored
from cnn_jax.data.walk import BANDED, PICTURES, by_name, check_apart, once


def load(
    stored: RangedStored = RANGED_STORED,
    *,
    dir: Place = "",
    image_size: tuple[Side, ...] = (256,),
    channels: Bands = 3,
    classes: tuple[str, ...] = (),
    ignored: tuple[Level, ...] = (),
    train_split: str = "train",
    test_split: str = "test",
    mask_folder: str = "{split}annot",
) -> Dataset:
    """Returns the pictures in `dir/<split>`, with masks from other folders.

    A mask has the name of its picture. It is a picture with one channel, gray or with a
    palette. Its values are classes: all values that are not ignored, in ascending
    order. A 1-bit mask has the values 0 and 1. Pictures and masks are stretched to
    `image_size`; masks are resampled with the nearest pixel. A mask must have the size
    of its picture, either upright or as stored; see `MaskRecords`.

    Args:
      stored: how many pictures are used, and whether they are held in memory.
      dir: the folder.
      image_size: a side in pixels, or (height, width).
      channels: 3 for RGB, 1 for gray; other numbers as in `bands`.
      classes: the names of the classes. Empty: the values of the masks are the names,
        up to the largest value in the training masks.
      ignored: values of masks whose pixels have no class. The value 255 is always
        ignored.
      train_split, test_split: the names of the folders of pictures; join several names
        with +.
      mask_folder: the name of the folder with the masks of a split; {split} is replaced
        by the name of the split.

    Raises:
      UserError: a folder or a mask is missing; two masks have one name; a picture is in
        both splits; a mask and its picture have different sizes; a mask has a lossy
        format; a value of a mask has no class; or the training masks have only one
        class.
    """
    images.check_shape(min(images.sides(image_size)))
    root = existing(dir)
    named = {"train": train_split, "test": test_split}
    used = "+".join(named.values()).split("+")
    whole = (
        n for n in VAL_NAMES if all(f.is_dir() for f in _folders(root, n, mask_folder))
    )
    default = next((name for name in whole if name not in used), None)
    if val := stored.own(default):
        named["val"] = val
    pairs = {
        role: _pairs(root, split.split("+"), mask_folder)
        for role, split in named.items()
    }
    check_apart({role: [p for p, _ in each] for role, each in pairs.items()}, named)
    warn_unread([root / name for each in named.values() for name in each.split("+")])
    known = known_values(ignored)
    classes = classes or tuple(map(str, _occurring(pairs["train"], known)))
    table = class_table(classes, ignored)
    shape = (*images.sides(image_size), channels)
    splits = {
        role: MaskRecords(
            MaskFiles(tuple(each), table), shape, value_range=stored.value_range
        )
        for role, each in pairs.items()
    }
    return with_masks(
        splits,
        stored,
        classes=classes,
        in_memory=stored.in_memory,
    )


SOURCE = Source(
    "masks",
    load,
    takes=RangedStored,
    stand_in=StandIn("digit_scenes"),
    files=BANDED_FILES,
)


def with_masks(
    splits: Mapping[str, MaskRecords], stored: Stored, **options: Any
) -> Dataset:
    """Returns the data set of splits with masks.

    Args:
      splits: the whole splits, by their roles.
      stored: how many pictures are used, and which ones validate.
      options: further arguments of `assemble`.

    Raises:
      UserError: see `assemble` and `mask_records.aligned`; also if there are fewer than
        two classes, or if the training masks are in memory and have only one class.
    """
    aligned = mask_records.aligned(list(splits.values()))
    roles = stored.of(dict(zip(splits, aligned, strict=True)))
    dataset = assemble(roles, label_kind=PIXELS.name, **options)
    kept = dataset.splits["train"]
    found = np.unique(kept.labels) if isinstance(kept, Arrays) else range(2)
    if len(dataset.classes) < 2 or sum(value != IGNORED for value in found) < 2:
        raise UserError(
            "the training masks have only one class; there must be at least two. The "
            f"value {IGNORED} means no class: store two classes as 0 and 1, not as 0 "
            f"and {IGNORED}."
        )
    return dataset


def known_values(ignored: tuple[int, ...]) -> list[int]:
    """Returns the values of masks that may be classes, in ascending order.

    Args:
      ignored: the values that have no class, in addition to 255.

    Raises:
      UserError: an ignored value is not from 0 to 255.
    """
    for value in ignored:
        if not 0 <= value <= 255:
            raise UserError(
                f"data.ignored has the value {value}; the values of masks are from 0 "
                "to 255."
            )
    return [value for value in range(IGNORED) if value not in ignored]


def class_table(classes: Sequence[str], ignored: tuple[int, ...]) -> np.ndarray:
    """Returns the class of each value of a mask, int16 [256].

    The entry of an ignored value is `IGNORED`. The entry of any other value without a
    class is -1.

    Args:
      classes: the names of the classes.
      ignored: the values that have no class, in addition to 255.

    Raises:
      UserError: see `known_values`; also if there are more classes than values.
    """
    known = known_values(ignored)
    if len(classes) > len(known):
        raise UserError(
            f"data.classes has {len(classes)} names, but masks have only {len(known)} "
            "values that can be classes: remove names."
        )
    table = np.full(256, -1, np.int16)
    table[known[: len(classes)]] = range(len(classes))
    table[[IGNORED, *ignored]] = IGNORED
    return table


def _folders(root: Path, split: str, mask_folder: str) -> list[Path]:
    """Returns the folder of a split's pictures and the folder of its masks."""
    return [root / split, root / mask_folder.replace("{split}", split)]


def _pairs(root: Path, splits: Sequence[str], mask_folder: str) -> list[Pair]:
    """Returns the paths of each picture and its mask, each picture once.

    Args:
      root: the folder that contains the folders of pictures and masks.
      splits: the names of the folders of pictures.
      mask_folder: the name of the folder of masks; see `load`.
    """
    pairs: dict[Hashable, Pair] = {}
    for split in splits:
        folders = _folders(root, split, mask_folder)
        for folder in folders:
            if not folder.is_dir():
                raise UserError(
                    f"there is no folder {folder}: set data.dir, data.train_split, "
                    "data.test_split and data.mask_folder to the folders of the "
                    "pictures and masks."
                )
        pictures = list(BANDED.found(folders[0]))
        masks = list(PICTURES.found(folders[1]))
        if not pictures:
            raise UserError(
                f"{folders[0]} holds no pictures: add pictures, or choose another "
                "split."
            )
        known = by_name(masks)
        for key, path in once(pictures).items():
            name = names.key(path.stem)
            if name not in known:
                raise UserError(
                    f"{path} has no mask in {folders[1]}: add a mask with the name of "
                    "the picture, or remove the picture."
                )
            pairs.setdefault(key, (path, known[name]))
    return list(pairs.values())


def _occurring(pairs: Sequence[Pair], known: Sequence[int]) -> Sequence[int]:
    """Returns the values in `known` up to the largest value that occurs in the masks.

    Args:
      pairs: the paths of each picture and its mask.
      known: the values of masks that may be classes, in ascending order.
    """
    found = np.zeros(256, bool)
    for _, mask in pairs:
        with mask_records.opened(mask, str(mask)) as encoded:
            found[np.unique(mask_records.values(encoded))] = True
    if not found[known].any():
        raise UserError(
            "no pixel of the training masks has a class, because all their values are "
            "ignored: 255 is always ignored, and data.ignored lists other ignored "
            "values. Correct data.ignored or the masks."
        )
    return known[: int(np.flatnonzero(found[known]).max()) + 1]
