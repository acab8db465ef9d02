"""The type of a loaded data set, `Dataset`, and functions that make one."""

import functools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cnn_jax.core import fit, memory, names
from cnn_jax.data import array_checks, bands, channel_statistics, labels
from cnn_jax.data.channel_statistics import Statistic
from cnn_jax.data.labels.kind import UNKNOWN, LabelKind, LabelStatistics
from cnn_jax.data.splits import Arrays, Records, Shape, Split, in_blocks

MEMORY_LIMIT = 2 * 2**30  # bytes; sets up to this size are held in memory

# Statistics of ImageNet's training pictures, for values in 0..1; for gray images the
# mean over the channels.
IMAGENET_MEAN = {1: (0.449,), 3: (0.485, 0.456, 0.406)}
IMAGENET_STD = {1: (0.226,), 3: (0.229, 0.224, 0.225)}


@dataclass(frozen=True)
class Dataset:
    """A data set with a training split, a test split and, often, a validation split.

    Attributes:
      splits: the splits, by their names "train", "val" and "test"; see `roles`.
      classes: the names of the classes; a label is an index into this tuple.
      image_shape: (height, width, channels) of the images in a batch, (frames, height,
        width, channels) of clips, or (depth, height, width, channels) of volumes.
      mean, std: the mean and the standard deviation of each channel, for pixel values
        scaled to 0..1; see `channel_statistics.measured`.
      image_type: the type of the gray levels, uint8 or float32; see `bands`.
      crop: the fraction of the shorter side that the evaluation transform keeps (see
        `images.fit`).
      label_shape: the shape of one label; () for one class per image.
      label_kind: the name of the label kind; see `labels`.
      unseen: the names of the classes that the training split does not have. Their
        labels follow the labels of `classes`.
      mirrorable: whether a mirrored image keeps its label.
      gives: facts about the data set, in addition to the facts in `facts.part`.
        `core.fit` compares facts with the requirements of the model and the task.
      takes: the requirements of the data set on the model and the task; see `core.fit`.
      paths: the functions that return the paths of the examples' files, relative to the
        data's folder, by the names of splits. Splits without files are left out.
      known_statistics: the statistics of the training labels; None: they are computed
        from the labels of the training split.
    """

    splits: Mapping[str, Split]
    classes: tuple[str, ...]
    image_shape: Shape
    mean: Statistic
    std: Statistic
    image_type: np.dtype = bands.BYTES
    crop: float = 1.0
    label_shape: Shape = ()
    label_kind: str = "class"
    unseen: tuple[str, ...] = ()
    mirrorable: bool = True
    gives: Mapping[str, Any] = field(default_factory=dict)
    takes: Sequence[fit.Need] = ()
    paths: Mapping[str, Callable[[], list[str]]] = field(default_factory=dict)
    known_statistics: LabelStatistics | None = None

    @property
    def arrays(self) -> dict[str, Arrays]:
        """The splits that are held in memory, by name."""
        return {r: s for r, s in self.splits.items() if isinstance(s, Arrays)}

    def identities(self, role: str) -> list[str]:
        """Returns a text for each example of a split that no other example has.

        The text is the path of the example's file, relative to the data's folder, or
        the name of the split and the index of the example, such as "test/17".
        """
        if role in self.paths:
            return self.paths[role]()
        return [f"{role}/{index}" for index in range(len(self.splits[role]))]

    @functools.cached_property
    def label_statistics(self) -> LabelStatistics:
        """The statistics of the training labels; empty if the labels are unknown."""
        if self.known_statistics is not None:
            return self.known_statistics
        train = self.splits.get("train")
        if train is None:
            return UNKNOWN
        known = train.labels if isinstance(train, Arrays) else train.known_labels()
        if known is None:
            return UNKNOWN
        return self.labels.statistics(known, len(self.classes))

    @property
    def labels(self) -> LabelKind:
        """The label kind of the data set."""
        return labels.find(self.label_kind)


def assemble(
    splits: Mapping[str, Split],
    *,
    classes: Sequence[str],
    unseen: Sequence[str] = (),
    in_memory: bool | None = None,
    label_kind: str = "class",
    mirrorable: bool = True,
    root: str = "",
) -> Dataset:
    """Returns a data set from its splits.

    The images are held in memory if `in_memory` says so. Where images are changes no
    result. Training images of which random crops are read stay on the disk.

    Args:
      splits: the splits, by their names "train", "val" and "test"; see `Roles.of`.
      classes: the names of the classes; a label is an index into this sequence.
      unseen: the names of further classes, which the training split does not have.
      in_memory: whether the decoded images are held in memory; None: if they need less
        than 2 GiB.
      label_kind, mirrorable: see `Dataset`.
      root: the folder of the data's files.

    Raises:
      UserError: an example has no valid label, or arrays have a wrong type or shape
        (see `array_checks.check`).
    """
    kind, first = labels.find(label_kind), splits["train"]
    paths = {
        role: functools.partial(_relative, split, root)
        for role, split in splits.items()
        if isinstance(split, Records) and split.reader.paths is not None
    }
    for role, split in splits.items():
        if isinstance(split, Arrays):
            array_checks.check(f"the {role} split", split, kind)
    if in_memory is None:
        pixels = math.prod(first.image_shape) * first.image_type.itemsize
        size = sum(len(split) for split in splits.values()) * pixels
        in_memory = bool(size < MEMORY_LIMIT)
    kept = dict(splits)
    for role, split in splits.items() if in_memory else ():
        if role == "train" and isinstance(split, Records) and split.random_crop:
            continue
        kept[role] = held = into_memory(split)
        further = unseen if role != "train" else ()
        kind.check_range(held.labels, len(classes) + len(further), role)
    mean, std = channel_statistics.measured(kept["train"])
    return Dataset(
        splits=kept,
        classes=tuple(map(names.text, classes)),
        image_shape=first.image_shape,
        mean=mean,
        std=std,
        image_type=first.image_type,
        crop=first.crop if isinstance(first, Records) else 1.0,
        label_shape=first.label_shape,
        label_kind=label_kind,
        unseen=tuple(map(names.text, unseen)),
        mirrorable=mirrorable,
        paths=paths,
    )


def _relative(split: Records, root: str) -> list[str]:
    """Returns the path of each example's file, relative to the folder `root`.

    Args:
      split: a split of examples with own files.
      root: the path of the folder; a relative path begins in the working directory.
    """
    start = os.path.expanduser(root) or os.curdir
    paths = split.paths() or ()
    return [names.text(os.path.relpath(path, start)) for path in paths]


def check_memory(count: int, shape: Shape, bytes_each: int = 1) -> None:
    """Raises `UserError` if the images do not fit in memory.

    Args:
      count: the number of images.
      shape: the shape of one image.
      bytes_each: the number of bytes of a value.
    """
    memory.check(
        count * math.prod(shape) * bytes_each,
        f"{count:,} images of {'x'.join(map(str, shape))}",
        "set data.train_examples, data.test_examples or data.image_size lower, or set "
        "data.in_memory=False if the data set has this option",
    )


def into_memory(split: Split) -> Arrays:
    """Returns a split with all its images in memory, after the evaluation transform.

    Raises:
      UserError: the images do not fit in memory.
    """
    if isinstance(split, Arrays):
        return split
    check_memory(len(split), split.image_shape, split.image_type.itemsize)
    arrays = Arrays(
        np.empty((len(split), *split.image_shape), split.image_type),
        np.empty((len(split), *split.label_shape), split.label_type),
    )

    def fill(rows: Sequence[int] | np.ndarray) -> None:
        examples = split.examples(rows, [None] * len(rows))
        for row, example in zip(rows, examples, strict=True):
            arrays.images[row], arrays.labels[row] = example["image"], example["label"]

    for _ in in_blocks(split, fill, range(len(split))):
        pass
    return arrays
