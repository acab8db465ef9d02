"""The splits of a data set: in memory, on the disk, or patches of pictures."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

from cnn_jax.data import bands, images

Shape = tuple[int, ...]
# The roles of splits, and their names in words.
ROLES = {"train": "training", "val": "validation", "test": "test"}
Same = TypeVar("Same")
Result = TypeVar("Result")


class Encoded(NamedTuple):
    """One stored example: an image file, its label and its name.

    Attributes:
      picture: the path or the bytes of the image file.
      label: the class of the image. In splits with other labels, the data from which
        the split makes the label.
      name: the example's name in errors.
    """

    picture: str | bytes
    label: Any
    name: str

    @property
    def path(self) -> str:
        """The path of the example's image file, if `picture` is a path."""
        assert isinstance(self.picture, str)
        return self.picture


@runtime_checkable
class Reader(Protocol):
    """The interface of a reader of stored examples, with random access.

    A reader is pickled and sent to worker processes.
    """

    @property
    def paths(self) -> Sequence[str] | None:
        """The path of each example's file; None if examples have no own files."""

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int]) -> Iterable[Encoded]: ...

    def labels(self) -> np.ndarray | None:
        """Returns the labels of all examples, int32 [n].

        The result is None if the labels are not classes, or if the reader would have to
        read all examples to know the labels.
        """

    def joined(self: Same, other: Same) -> Same:
        """Returns a reader of the examples of this reader, then of `other`."""


@runtime_checkable
class AnySplit(Protocol):
    """The interface of every split, in memory or on the disk."""

    def __len__(self) -> int: ...

    @property
    def image_shape(self) -> Shape: ...

    @property
    def image_type(self) -> np.dtype: ...

    @property
    def label_shape(self) -> Shape: ...

    @property
    def label_type(self) -> np.dtype: ...

    def known_labels(self) -> np.ndarray | None:
        """Returns the class of each image, int32 [n].

        The result is None if the classes are unknown, or if the labels are not one
        class per image.
        """

    def subset(self: Same, indices: np.ndarray) -> Same:
        """Returns a split with only some of the examples.

        Args:
          indices: the indices of the examples that are kept.
        """

    def joined(self: Same, other: Same) -> Same:
        """Returns a split with the examples of this split, then of `other`."""


@runtime_checkable
class Streamed(AnySplit, Protocol):
    """The interface of a split whose examples are made one by one, when needed."""

    @property
    def random_crop(self) -> bool:
        """True if `examples` uses the random generators in training."""

    @property
    def clips_per_video(self) -> int | None:
        """The number of consecutive examples from one video; None for pictures."""

    def examples(
        self,
        indices: Sequence[int] | np.ndarray,
        rngs: Sequence[np.random.Generator | None],
    ) -> Iterable[dict]:
        """Yields {"image", "label"} for each index in `indices`.

        Args:
          indices: the indices of the examples.
          rngs: one random generator per example, for training; None: the example is
            made as in evaluation.
        """


@dataclass(frozen=True)
class Arrays:
    """A split in memory. The i-th label belongs to the i-th image.

    The type and the shape of `labels` depend on the label kind, `Dataset.label_kind`:

    * class: int32 [n];
    * multi_label: uint8 [n, classes];
    * values: float32 [n, values];
    * pixels: uint8 [n, height, width], with `IGNORED` for pixels without a class;
    * boxes: float32 [n, most, 5], rows (class, top, left, bottom, right) in pixels;
      padding rows have the class -1;
    * picture: uint8 [n, factor * height, factor * width, channels];
    * style: int32 [n].

    Attributes:
      images: gray levels [n, height, width, channels], or clips [n, frames, height,
        width, channels]; uint8, or float32 with fractions (see `bands`).
      labels: one label per image.
      features: the output of a network for each image; None: not computed.
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
    def image_type(self) -> np.dtype:
        return self.images.dtype

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

    def joined(self, other: "Arrays") -> "Arrays":
        return Arrays(
            np.concatenate([self.images, other.images]),
            np.concatenate([self.labels, other.labels]),
        )


@dataclass(frozen=True)
class Varied:
    """A split in memory whose images have different sizes.

    Such images cannot form a batch, so they are evaluated one by one. `image_shape` and
    `label_shape` are the shapes of the first example.

    Attributes:
      images: one image per entry, uint8 [height, width, channels].
      labels: the label of each image, with the type that `Arrays` states.
    """

    images: tuple[np.ndarray, ...]
    labels: tuple[np.ndarray, ...]

    random_crop: ClassVar[bool] = False
    clips_per_video: ClassVar[int | None] = None
    image_type: ClassVar[np.dtype] = bands.BYTES

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> Shape:
        return self.images[0].shape

    @property
    def label_shape(self) -> Shape:
        return self.labels[0].shape

    @property
    def label_type(self) -> np.dtype:
        return self.labels[0].dtype

    def known_labels(self) -> None:
        return None

    def subset(self, indices: np.ndarray) -> "Varied":
        return Varied(
            tuple(self.images[i] for i in indices),
            tuple(self.labels[i] for i in indices),
        )

    def joined(self, other: "Varied") -> "Varied":
        return Varied(self.images + other.images, self.labels + other.labels)

    def examples(
        self,
        indices: Sequence[int] | np.ndarray,
        rngs: Sequence[np.random.Generator | None],
    ) -> Iterable[dict]:
        """Yields {"image", "label"} for each index in `indices`."""
        del rngs
        for index in indices:
            yield {"image": self.images[index], "label": self.labels[index]}


@dataclass(frozen=True)
class Patches:
    """A split of random patches of pictures in memory, for training.

    Example i is a patch of picture `i % len(images)`. The label of a picture is another
    picture, larger by a whole factor. The label of a patch is the patch at the same
    position of the picture's label.

    Attributes:
      images: the pictures, uint8 [height, width, channels].
      labels: the label of each picture, uint8 [factor * height, factor * width,
        channels].
      size: the side of a patch, in pixels of the picture.
      each: the number of patches of each picture in an epoch.
    """

    images: tuple[np.ndarray, ...]
    labels: tuple[np.ndarray, ...]
    size: int
    each: int

    random_crop: ClassVar[bool] = True
    clips_per_video: ClassVar[int | None] = None
    image_type: ClassVar[np.dtype] = bands.BYTES
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

    def subset(self: "SomePatches", indices: np.ndarray) -> "SomePatches":
        """Returns a split with the patches of only some of the pictures.

        Args:
          indices: the indices of examples; the pictures of these examples are kept.
        """
        kept = sorted({int(i) % len(self.images) for i in indices})
        return replace(
            self,
            images=tuple(self.images[i] for i in kept),
            labels=tuple(self.labels[i] for i in kept),
        )

    def joined(self: "SomePatches", other: "SomePatches") -> "SomePatches":
        return replace(
            self, images=self.images + other.images, labels=self.labels + other.labels
        )

    def examples(
        self,
        indices: Sequence[int] | np.ndarray,
        rngs: Sequence[np.random.Generator | None],
    ) -> Iterable[dict]:
        """Yields {"image", "label"} for each index in `indices`.

        Args:
          indices: the indices of the examples.
          rngs: one random generator per example, which draws the position of the patch;
            None: the patch is at the center of the picture.
        """
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


SomePatches = TypeVar("SomePatches", bound=Patches)


def _cut(picture: np.ndarray, top: int, left: int, size: int, factor: int):
    rows = slice(top * factor, (top + size) * factor)
    return picture[rows, left * factor : (left + size) * factor]


@dataclass(frozen=True)
class Records:
    """A split that stays on the disk. Its examples are read and decoded when needed.

    Attributes:
      reader: the reader of the stored examples.
      image_shape: the shape of a decoded example; (height, width, channels) for a
        picture.
      crop: the fraction of the shorter side that evaluation keeps.
      crop_area: the smallest and the largest share of a picture's area that the random
        box of training covers; None: training takes the box of evaluation.
      interpolation: the filter that resizes pictures, a name in
        `images.INTERPOLATIONS`.
      value_range: see `bands.read`.
      indices: the reader's indices of the examples in this split, in the order of the
        split; None: all examples of the reader.
    """

    reader: Reader
    image_shape: Shape
    crop: float = 1.0
    crop_area: Sequence[float] | None = None
    interpolation: str = images.BILINEAR
    value_range: bands.ValueRange = None
    indices: np.ndarray | None = None

    label_type: ClassVar[np.dtype] = np.dtype(np.int32)

    @property
    def image_type(self) -> np.dtype:
        return bands.image_type(self.value_range)

    @property
    def label_shape(self) -> Shape:
        return ()

    @property
    def random_crop(self) -> bool:
        return self.crop_area is not None

    @property
    def clips_per_video(self) -> int | None:
        return None

    def __len__(self) -> int:
        return len(self.reader) if self.indices is None else len(self.indices)

    def paths(self) -> Sequence[str] | None:
        """Returns the path of each example's file; None if there are no own files."""
        paths = self.reader.paths
        if paths is None or self.indices is None:
            return paths
        return [paths[i] for i in self.indices]

    def known_labels(self) -> np.ndarray | None:
        labels = self.reader.labels()
        if labels is None or self.indices is None:
            return labels
        return labels[self.indices]

    def subset(self: "SomeRecords", indices: np.ndarray) -> "SomeRecords":
        if self.indices is not None:
            indices = self.indices[indices]
        return replace(self, indices=indices)

    def joined(self: "SomeRecords", other: "SomeRecords") -> "SomeRecords":
        assert self.indices is None and other.indices is None  # whole splits
        return replace(self, reader=self.reader.joined(other.reader))

    def example(self, index: int, rng: np.random.Generator | None) -> dict:
        """Returns {"image": `image_type` [height, width, channels], "label": int}.

        Args:
          index: the index of the example in the split.
          rng: the random generator that draws the training crop; None: the example is
            made with the evaluation transform.
        """
        return next(iter(self.examples([index], [rng])))

    def examples(
        self,
        indices: Sequence[int] | np.ndarray,
        rngs: Sequence[np.random.Generator | None],
    ) -> Iterable[dict]:
        """Yields the example of each index in `indices`, as `example` returns it.

        The reader reads all these examples in one request.

        Args:
          indices: the indices of the examples in the split.
          rngs: the argument `rng` of `example`, for each index.
        """
        if self.indices is not None:
            indices = self.indices[np.asarray(indices)]
        stored = self.reader.read([int(i) for i in indices])
        for example, rng in zip(stored, rngs, strict=True):
            yield self.decoded(example, rng)

    def decoded(self, example: Encoded, rng: np.random.Generator | None) -> dict:
        """Returns what `example` returns, given a stored example of the reader.

        Args:
          example: the stored example.
          rng: see `example`.
        """
        picture, label, name = example

        def box(size: tuple[int, int]) -> images.Box:
            if rng is None or self.crop_area is None:
                return images.centered_box(size, self.image_shape, self.crop)
            return images.random_crop_box(size, rng, self.crop_area)

        image = images.resample(
            picture,
            self.image_shape,
            box,
            name,
            interpolation=self.interpolation,
            value_range=self.value_range,
        )
        return {"image": image, "label": label}


SomeRecords = TypeVar("SomeRecords", bound=Records)

Split = Arrays | Streamed


def in_blocks(
    split: Streamed,
    function: Callable[[Sequence[int] | np.ndarray], Result],
    rows: Sequence[int] | np.ndarray,
) -> Iterator[Result]:
    """Yields the result of a function for each block of rows of a split, in order.

    Args:
      split: the split whose examples the function makes.
      function: the function. Several threads call it if decoding images takes most of
        its time.
      rows: the indices of the examples.
    """
    blocks = (rows[start : start + 256] for start in range(0, len(rows), 256))
    # Pillow releases the interpreter lock while it decodes. For small images most of
    # the work holds the lock, so more threads would only wait.
    threads = 1 if np.prod(split.image_shape[:2]) < 64 * 64 else os.cpu_count()
    with ThreadPoolExecutor(threads) as pool:
        try:
            yield from pool.map(function, blocks)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
