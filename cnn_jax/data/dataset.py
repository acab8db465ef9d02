"""What every source of data returns: a `Dataset` of two splits and its facts."""

import math
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np

from cnn_jax.data import images
from cnn_jax.errors import UserError

MEMORY_LIMIT = 2 * 2**30  # bytes; sets up to this size are held in memory
IGNORED = 255  # the label of a pixel that belongs to no class, or to no image
EVAL_CROP = 224 / 256  # of the shorter side, where training takes random crops

# What a label is, and how an example has it.
LABELS = {
    "class": "one label an image",
    "pixels": "one label a pixel",
    "boxes": "boxes of objects",
    "picture": "a picture as its target",
}

# Of ImageNet's training pictures, values in 0..1; for grey the mean over channels.
IMAGENET_MEAN = {1: (0.449,), 3: (0.485, 0.456, 0.406)}
IMAGENET_STD = {1: (0.226,), 3: (0.229, 0.224, 0.225)}


Shape = tuple[int, ...]


class Encoded(NamedTuple):
    """One stored example: a path or the bytes of an image file, its label and name.

    A label is a class or, for the splits of other kinds, what these make theirs of.
    """

    picture: str | bytes
    label: Any
    name: str


@runtime_checkable
class Reader(Protocol):
    """Random access to stored examples. It is pickled and sent to workers."""

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int]) -> Iterable[Encoded]: ...

    def labels(self) -> np.ndarray | None:
        """int32 [n], or None where finding out means reading the whole set."""


@dataclass(frozen=True)
class Arrays:
    """A split in memory; the i-th label belongs to the i-th image.

    `images` are uint8 [n, height, width, channels], or clips [n, frames, height,
    width, channels]. `labels` are, by the kind that `Dataset.label_kind` names,

    * class: int32 [n];
    * pixels: uint8 [n, height, width], `IGNORED` where a pixel has none;
    * boxes: float32 [n, most, 5], rows (class, top, left, bottom, right) in pixels;
      the class of a row that only fills up is -1;
    * picture: uint8 [n, factor * height, factor * width, channels].

    `features`, if any, are what a network made of each image.
    """

    images: np.ndarray
    labels: np.ndarray
    features: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> Shape:
        return self.images.shape[1:]

    @property
    def label_shape(self) -> Shape:
        return self.labels.shape[1:]

    @property
    def label_type(self) -> np.dtype:
        return self.labels.dtype

    def known_labels(self) -> np.ndarray | None:
        return None if self.label_shape else self.labels

    def subset(self, indices: np.ndarray) -> "Arrays":
        features = None if self.features is None else self.features[indices]
        return Arrays(self.images[indices], self.labels[indices], features)


@dataclass(frozen=True)
class Varied:
    """A split in memory whose images have sizes of their own, to be evaluated one by
    one as they are.

    `images` and `labels` are those of `Arrays`, one at a time; `image_shape` is that
    of the first.
    """

    images: tuple[np.ndarray, ...]
    labels: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> Shape:
        return self.images[0].shape

    @property
    def label_shape(self) -> Shape:
        return self.labels[0].shape

    def known_labels(self) -> None:
        return None

    def subset(self, indices: np.ndarray) -> "Varied":
        return Varied(
            tuple(self.images[i] for i in indices),
            tuple(self.labels[i] for i in indices),
        )


@dataclass(frozen=True)
class Patches:
    """Patches at random places of pictures in memory, to train on.

    Example i is a patch of picture `i % len(images)`; each picture gives `each` of them
    an epoch. The label is the same place of the picture's label, which is a whole
    number of times as large.

    `images` and `labels` are uint8 [height, width, channels], `size` is a patch's side
    in pixels of the image.
    """

    images: tuple[np.ndarray, ...]
    labels: tuple[np.ndarray, ...]
    size: int
    each: int

    random_crop: ClassVar[bool] = True
    label_type: ClassVar[np.dtype] = np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.images) * self.each

    @property
    def image_shape(self) -> Shape:
        return (self.size, self.size, self.images[0].shape[-1])

    @property
    def label_shape(self) -> Shape:
        side = self.size * self.factor
        return (side, side, self.labels[0].shape[-1])

    @property
    def factor(self) -> int:
        return len(self.labels[0]) // len(self.images[0])

    def known_labels(self) -> None:
        return None

    def subset(self, indices: np.ndarray) -> "Patches":
        """Those of the pictures that the examples come from."""
        kept = sorted({int(i) % len(self.images) for i in indices})
        return replace(
            self,
            images=tuple(self.images[i] for i in kept),
            labels=tuple(self.labels[i] for i in kept),
        )

    def examples(
        self,
        indices: Sequence[int] | np.ndarray,
        rngs: Sequence[np.random.Generator | None],
    ) -> Iterable[dict]:
        """{"image", "label"} of each; without a generator, of the picture's middle."""
        for index, rng in zip(indices, rngs, strict=True):
            number = int(index) % len(self.images)
            image, label = self.images[number], self.labels[number]
            room = [side - self.size for side in image.shape[:2]]
            top, left = (
                [side // 2 for side in room]
                if rng is None
                else [int(rng.integers(side + 1)) for side in room]
            )
            yield {
                "image": _cut(image, top, left, self.size, 1),
                "label": _cut(label, top, left, self.size, self.factor),
            }


def _cut(picture: np.ndarray, top: int, left: int, size: int, factor: int):
    rows = slice(top * factor, (top + size) * factor)
    return picture[rows, left * factor : (left + size) * factor]


@dataclass(frozen=True)
class Records:
    """A split that stays where it is stored; examples are decoded when asked for.

    `image_shape` is (height, width, channels) of the decoded examples, `crop` the
    fraction of the shorter side that evaluation keeps, `random_crop` whether
    training takes random resized crops, `indices` the examples that the split
    holds, in its own order (None: all).
    """

    reader: Reader
    image_shape: tuple[int, int, int]
    crop: float = 1.0
    random_crop: bool = False
    indices: np.ndarray | None = None

    label_shape: ClassVar[Shape] = ()
    label_type: ClassVar[np.dtype] = np.dtype(np.int32)

    def __len__(self) -> int:
        return len(self.reader) if self.indices is None else len(self.indices)

    def known_labels(self) -> np.ndarray | None:
        labels = self.reader.labels()
        if labels is None or self.indices is None:
            return labels
        return labels[self.indices]

    def subset(self, indices: np.ndarray) -> "Records":
        if self.indices is not None:
            indices = self.indices[indices]
        return replace(self, indices=indices)

    def example(self, index: int, rng: np.random.Generator | None) -> dict:
        """{"image": uint8 [height, width, channels], "label": int}.

        `rng` draws the training crop; None means the evaluation transform.
        """
        return next(iter(self.examples([index], [rng])))

    def examples(
        self,
        indices: Sequence[int] | np.ndarray,
        rngs: Sequence[np.random.Generator | None],
    ) -> Iterable[dict]:
        """`example` for many indices, read from the disk together."""
        if self.indices is not None:
            indices = self.indices[np.asarray(indices)]
        stored = self.reader.read([int(i) for i in indices])
        for example, rng in zip(stored, rngs, strict=True):
            yield self.decoded(example, rng)

    def decoded(self, example: Encoded, rng: np.random.Generator | None) -> dict:
        """A stored example, as `example` returns it."""
        picture, label, name = example
        if rng is None or not self.random_crop:
            image = images.fit(picture, self.image_shape, self.crop, name)
        else:
            image = images.random_resized_crop(picture, self.image_shape, rng, name)
        return {"image": image, "label": label}


Split = Arrays | Varied | Patches | Records


@dataclass(frozen=True)
class Dataset:
    """Two splits under their roles, "train" and "test", and what they have in common.

    `image_shape` is (height, width, channels) of the images in a batch, or (frames,
    height, width, channels) of clips; `label_kind` is one of `LABELS`, and
    `label_shape` the shape of a label, () of one class an image. `mean` and `std` are
    per channel, of pixel values scaled to 0..1; `crop` is the fraction of the shorter
    side that the evaluation transform keeps (see `images.fit`). `unseen` are the names
    of further classes, whose examples are all in the test split; their labels follow
    those of `classes`.
    """

    splits: dict[str, Split]
    classes: tuple[str, ...]
    image_shape: Shape
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: float = 1.0
    label_shape: Shape = ()
    label_kind: str = "class"
    unseen: tuple[str, ...] = ()


def assemble(
    train: Split,
    test: Split,
    *,
    classes: Sequence[str],
    unseen: Sequence[str] = (),
    train_examples: int | float | None = None,
    test_examples: int | float | None = None,
    subset_seed: int = 0,
    in_memory: bool | None = None,
    random_crop: bool = False,
    label_kind: str = "class",
) -> Dataset:
    """The data set that a source hands out: cut to size, and in memory if it fits.

    Args:
      train, test: the two splits, whole.
      classes: names; a label is an index into them.
      unseen: names of further classes, that the test split alone may have.
      train_examples, test_examples: keep so much (see `keep`); None: all.
      subset_seed: chooses those to train on.
      in_memory: True, False, or None for "if it needs less than 2 GiB".
      random_crop: where the set stays on disk, train on random resized crops and
        evaluate on the centre of slightly larger pictures.

    Raises `UserError` for an example without a valid label.
    """
    splits = {
        "train": keep(train, train_examples, "train_examples", subset_seed),
        "test": keep(test, test_examples, "test_examples"),
    }
    image_shape = train.image_shape
    if in_memory is None:
        size = sum(len(split) for split in splits.values()) * np.prod(image_shape)
        in_memory = bool(size < MEMORY_LIMIT)
    if in_memory:
        splits = {role: into_memory(split) for role, split in splits.items()}
        counts = {"train": len(classes), "test": len(classes) + len(unseen)}
        for role, split in splits.items():
            labels = split.labels
            if label_kind == "pixels":
                labels = labels[labels != IGNORED]
            elif label_kind == "boxes":
                labels = labels[..., 0][labels[..., 0] >= 0]
            if labels.min(initial=0) < 0 or labels.max(initial=0) >= counts[role]:
                raise UserError(
                    f"the {role} split has examples without a label "
                    f"({labels.min()} to {labels.max()} for "
                    f"{counts[role]} classes); choose another split."
                )
        mean, std = channel_statistics(splits["train"].images)
    else:
        if random_crop:
            cropping = {"crop": EVAL_CROP, "random_crop": True}
            splits = {role: replace(s, **cropping) for role, s in splits.items()}
        mean, std = IMAGENET_MEAN[image_shape[-1]], IMAGENET_STD[image_shape[-1]]
    crop = EVAL_CROP if random_crop and not in_memory else 1.0
    return Dataset(
        splits=splits,
        classes=tuple(classes),
        image_shape=image_shape,
        mean=mean,
        std=std,
        crop=crop,
        label_shape=train.label_shape,
        label_kind=label_kind,
        unseen=tuple(unseen),
    )


def keep(split: Split, count: int | float | None, option: str, seed: int = 0) -> Split:
    """The first `count` examples of a random order, or all of them if None.

    In that order every prefix holds the classes in the proportions of the whole,
    so smaller selections lie inside larger ones and balanced sets stay balanced.
    (Sets whose labels are not known without reading them all, or are one a pixel, are
    only shuffled.)

    Args:
      count: a whole number of them, or a float: a share, rounded, of one at least.
      option: what the count is called in an error.
      seed: of the order.

    Raises `UserError` for a count below 1, a share that is not one, or a negative seed.
    """
    if count is None:
        return split
    if isinstance(count, float):
        if not 0 < count <= 1:
            raise UserError(
                f"data.{option} is {count}; a share lies above 0 and is at most 1, and "
                "a number of examples is a whole one."
            )
        count = max(1, round(count * len(split)))
    check_count(count, option)
    images.check_least("subset_seed", seed, 0)
    order = np.random.default_rng(seed).permutation(len(split))
    labels = split.known_labels()
    if labels is not None:
        place = np.empty(len(order))
        for label in np.unique(labels):
            members = np.flatnonzero(labels[order] == label)
            place[members] = (np.arange(len(members)) + 0.5) / len(members)
        order = order[np.argsort(place, kind="stable")]
    return split.subset(order[:count])


def check_count(count: int, option: str) -> None:
    """Raises `UserError` unless the option asks for some examples."""
    images.check_least(option, count, 1)


def into_memory(split: Split) -> Arrays:
    """Decodes a whole split with the evaluation transform."""
    if isinstance(split, Arrays):
        return split
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
    # Pillow decodes without holding the interpreter's lock, but for small images
    # the lock is most of the work, and more threads only wait for it.
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
    """Mean and standard deviation per channel of uint8 [n, ..., c], in units of 255.

    Counted exactly, so the result does not depend on the machine. A channel that
    never changes has the standard deviation of one grey level, 1 / 255.
    """
    counts = np.zeros((images.shape[-1], 256), np.int64)
    for start in range(0, len(images), 4096):
        block = images[start : start + 4096]
        for channel, count in enumerate(counts):
            count += np.bincount(block[..., channel].ravel(), minlength=256)
    values = np.arange(256)
    total = int(counts[0].sum())
    mean, std = [], []
    for count in counts:  # in whole numbers of any size, up to the last division
        first, second = int(count @ values), int(count @ values**2)
        mean.append(first / total / 255)
        variance = (second * total - first**2) / total**2
        std.append(max(math.sqrt(variance), 1) / 255)
    return tuple(mean), tuple(std)
