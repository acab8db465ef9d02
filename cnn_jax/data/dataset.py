"""The type of a loaded data set, `Dataset`, and functions that make one."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from cnn_jax.core import fit, memory, names
from cnn_jax.data import array_checks, labels
from cnn_jax.data.labels.kind import LabelKind
from cnn_jax.data.splits import Arrays, Records, Shape, Split

MEMORY_LIMIT = 2 * 2**30  # bytes; sets up to this size are held in memory
EVAL_CROP = 224 / 256  # share of the shorter side; training takes random crops

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
        scaled to 0..1.
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
    """

    splits: Mapping[str, Split]
    classes: tuple[str, ...]
    image_shape: Shape
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: float = 1.0
    label_shape: Shape = ()
    label_kind: str = "class"
    unseen: tuple[str, ...] = ()
    mirrorable: bool = True
    gives: Mapping[str, Any] = field(default_factory=dict)
    takes: Sequence[fit.Need] = ()
    paths: Mapping[str, Callable[[], list[str]]] = field(default_factory=dict)

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
    random_crop: bool = False,
    label_kind: str = "class",
    mirrorable: bool = True,
    root: str = "",
) -> Dataset:
    """Returns a data set from its splits.

    The images are held in memory if `in_memory` says so.

    Args:
      splits: the splits, by their names "train", "val" and "test"; see `Roles.of`.
      classes: the names of the classes; a label is an index into this sequence.
      unseen: the names of further classes, which the training split does not have.
      in_memory: whether the decoded images are held in memory; None: if they need less
        than 2 GiB.
      random_crop: if the images stay on the disk, training takes random resized crops,
        and evaluation takes the center of slightly larger pictures. Images in memory
        are not cropped at random.
      label_kind, mirrorable: see `Dataset`.
      root: the folder of the data's files.

    Raises:
      UserError: an example has no valid label, or arrays have a wrong type or shape
        (see `array_checks.check`).
    """
    kind, first = labels.find(label_kind), splits["train"]
    paths = {
        role: partial(_relative, split, root)
        for role, split in splits.items()
        if isinstance(split, Records) and split.reader.paths is not None
    }
    for role, split in splits.items():
        if isinstance(split, Arrays):
            array_checks.check(f"the {role} split", split, kind)
    if in_memory is None:
        size = sum(len(split) for split in splits.values()) * np.prod(first.image_shape)
        in_memory = bool(size < MEMORY_LIMIT)
    if in_memory:
        arrays = {role: into_memory(split) for role, split in splits.items()}
        for role, split in arrays.items():
            further = unseen if role != "train" else ()
            kind.check_range(split.labels, len(classes) + len(further), role)
        mean, std = channel_statistics(arrays["train"].images)
        splits = arrays
    else:
        if random_crop:
            splits = {role: _cropped(split) for role, split in splits.items()}
        channels = first.image_shape[-1]
        mean, std = IMAGENET_MEAN[channels], IMAGENET_STD[channels]
    crop = EVAL_CROP if random_crop and not in_memory else 1.0
    return Dataset(
        splits=splits,
        classes=tuple(map(names.text, classes)),
        image_shape=first.image_shape,
        mean=mean,
        std=std,
        crop=crop,
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


def _cropped(split: Split) -> Records:
    """Returns the split, set to random crops in training."""
    assert isinstance(split, Records)  # no other split can crop stored pictures
    return replace(split, crop=EVAL_CROP, random_crop=True)


def check_memory(count: int, shape: Shape) -> None:
    """Raises `UserError` if the images do not fit in memory.

    Args:
      count: the number of images.
      shape: the shape of one image.
    """
    memory.check(
        count * math.prod(shape),
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
    check_memory(len(split), split.image_shape)
    arrays = Arrays(
        np.empty((len(split), *split.image_shape), np.uint8),
        np.empty((len(split), *split.label_shape), split.label_type),
    )

    def fill(start: int) -> None:
        rows = range(start, min(start + 256, len(split)))
        examples = split.examples(rows, [None] * len(rows))
        for row, example in zip(rows, examples, strict=True):
            arrays.images[row], arrays.labels[row] = example["image"], example["label"]

    starts = range(0, len(split), 256)
    # Pillow releases the interpreter lock while it decodes. For small images most of
    # the work holds the lock, so more threads would only wait.
    threads = 1 if np.prod(split.image_shape[:2]) < 64 * 64 else os.cpu_count()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for _ in pool.map(fill, starts):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return arrays


def channel_statistics(
    images: np.ndarray,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns the mean and the standard deviation of each channel, divided by 255.

    Both are computed from exact integer counts of the pixel values, so they are the
    same on every machine. If all pixels of a channel have one value, the standard
    deviation of the channel is set to one gray level, 1 / 255.

    Args:
      images: uint8 [n, ..., channels].
    """
    counts = np.zeros((images.shape[-1], 256), np.int64)
    for start in range(0, len(images), 4096):
        block = images[start : start + 4096]
        for channel, count in enumerate(counts):
            count += np.bincount(block[..., channel].ravel(), minlength=256)
    values = np.arange(256)
    total = int(counts[0].sum())
    mean, std = [], []
    for count in counts:  # exact integers of any size until the division
        first, second = int(count @ values), int(count @ values**2)
        mean.append(first / total / 255)
        variance = (second * total - first**2) / total**2
        std.append(max(math.sqrt(variance), 1) / 255)
    return tuple(mean), tuple(std)
