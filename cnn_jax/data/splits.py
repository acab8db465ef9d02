"""The splits of a data set: in memory, on the disk, or patches of pictures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

from cnn_jax.data import images

Shape = tuple[int, ...]
Same = TypeVar("Same")


class Encoded(NamedTuple):
    """One stored example: an image file, its label and its name.

    Attributes:
      picture: the path or the bytes of an image file.
      label: a class, or the value that a split of another kind needs to make its label.
      name: the example's name in errors.
    """

    picture: str | bytes
    label: Any
    name: str

    @property
    def path(self) -> str:
        """The path of the example's file."""
        assert isinstance(self.picture, str)
        return self.picture


@runtime_checkable
class Reader(Protocol):
    """Random access to stored examples. It is pickled and sent to workers."""

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int]) -> Iterable[Encoded]: ...

    def labels(self) -> np.ndarray | None:
        """Returns the labels, int32 [n]; None if they require reading the whole set."""


@runtime_checkable
class AnySplit(Protocol):
    """The interface of every split, in memory or not."""

    def __len__(self) -> int: ...

    @property
    def image_shape(self) -> Shape: ...

    @property
    def label_shape(self) -> Shape: ...

    @property
    def label_type(self) -> np.dtype: ...

    def known_labels(self) -> np.ndarray | None:
        """Returns each image's class, int32 [n]; None if unknown or of another kind."""

    def subset(self: Same, indices: np.ndarray) -> Same:
        """Returns the split that has only the examples `indices`."""


@runtime_checkable
class Streamed(AnySplit, Protocol):
    """The interface of a split that makes its examples one by one, on demand."""

    @property
    def random_crop(self) -> bool:
        """Whether `examples` uses random generators in training."""

    @property
    def clips_per_video(self) -> int | None:
        """The number of consecutive examples from one video; None without videos."""

    def examples(
        self,
        indices: Sequence[int] | np.ndarray,
        rngs: Sequence[np.random.Generator | None],
    ) -> Iterable[dict]:
        """Yields {"image", "label"} of each index.

        Args:
          rngs: one generator per example; None: the example as in evaluation.
        """


@dataclass(frozen=True)
class Arrays:
    """A split in memory; the i-th label belongs to the i-th image.

    `images` are uint8 [n, height, width, channels], or clips [n, frames, height, width,
    channels]. The type of `labels` depends on `Dataset.label_kind`:

    * class: int32 [n];
    * pixels: uint8 [n, height, width], `IGNORED` for pixels without a class;
    * boxes: float32 [n, most, 5], rows (class, top, left, bottom, right) in pixels;
      padding rows have the class -1;
    * picture: uint8 [n, factor * height, factor * width, channels].

    `features`, if given, are a network's output for each image.
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
    """A split in memory whose images have different sizes, evaluated one by one.

    Each entry of `images` and `labels` is one image or label of `Arrays`. `image_shape`
    and `label_shape` are the shapes of the first example.
    """

    images: tuple[np.ndarray, ...]
    labels: tuple[np.ndarray, ...]

    random_crop: ClassVar[bool] = False
    clips_per_video: ClassVar[int | None] = None

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

    def examples(
        self,
        indices: Sequence[int] | np.ndarray,
        rngs: Sequence[np.random.Generator | None],
    ) -> Iterable[dict]:
        """Yields {"image", "label"} of each index."""
        del rngs
        for index in indices:
            yield {"image": self.images[index], "label": self.labels[index]}


@dataclass(frozen=True)
class Patches:
    """A split of patches at random places of pictures in memory, for training.

    Example i is a patch of picture `i % len(images)`; each picture gives `each` patches
    in an epoch. The label is the patch at the same place of the picture's label, which
    is larger than the picture by a whole factor.

    `images` and `labels` are uint8 [height, width, channels]; `size` is the side of a
    patch in pixels of the image.
    """

    images: tuple[np.ndarray, ...]
    labels: tuple[np.ndarray, ...]
    size: int
    each: int

    random_crop: ClassVar[bool] = True
    clips_per_video: ClassVar[int | None] = None
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
        """Returns the split of all pictures that the examples `indices` come from."""
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
        """Yields {"image", "label"} of each index.

        Args:
          rngs: one generator per example, which draws the patch's place; None: the
            center.
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
    """A split that stays on the disk; its examples are decoded on demand.

    Attributes:
      reader: random access to the stored examples.
      image_shape: the shape of a decoded example, (height, width, channels) of a
        picture.
      crop: the fraction of the shorter side that evaluation keeps.
      random_crop: whether training takes random resized crops.
      indices: the examples that the split holds, in its own order; None: all.
    """

    reader: Reader
    image_shape: Shape
    crop: float = 1.0
    random_crop: bool = False
    indices: np.ndarray | None = None

    label_type: ClassVar[np.dtype] = np.dtype(np.int32)

    @property
    def label_shape(self) -> Shape:
        return ()

    @property
    def clips_per_video(self) -> int | None:
        return None

    def __len__(self) -> int:
        return len(self.reader) if self.indices is None else len(self.indices)

    def known_labels(self) -> np.ndarray | None:
        labels = self.reader.labels()
        if labels is None or self.indices is None:
            return labels
        return labels[self.indices]

    def subset(self: "SomeRecords", indices: np.ndarray) -> "SomeRecords":
        if self.indices is not None:
            indices = self.indices[indices]
        return replace(self, indices=indices)

    def example(self, index: int, rng: np.random.Generator | None) -> dict:
        """Returns {"image": uint8 [height, width, channels], "label": int}.

        Args:
          rng: draws the training crop; None: the evaluation transform.
        """
        return next(iter(self.examples([index], [rng])))

    def examples(
        self,
        indices: Sequence[int] | np.ndarray,
        rngs: Sequence[np.random.Generator | None],
    ) -> Iterable[dict]:
        """Yields `example` of each index; all examples are read in one request."""
        if self.indices is not None:
            indices = self.indices[np.asarray(indices)]
        stored = self.reader.read([int(i) for i in indices])
        for example, rng in zip(stored, rngs, strict=True):
            yield self.decoded(example, rng)

    def decoded(self, example: Encoded, rng: np.random.Generator | None) -> dict:
        """Returns a stored example in the form that `example` returns."""
        picture, label, name = example
        if rng is None or not self.random_crop:
            image = images.fit(picture, self.image_shape, self.crop, name)
        else:
            image = images.random_resized_crop(picture, self.image_shape, rng, name)
        return {"image": image, "label": label}


SomeRecords = TypeVar("SomeRecords", bound=Records)

Split = Arrays | Streamed
