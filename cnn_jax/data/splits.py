"""The splits of a data set: examples in memory, on the disk, or cut out of pictures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

from cnn_jax.data import images

Shape = tuple[int, ...]
Same = TypeVar("Same")


class Encoded(NamedTuple):
    """One stored example: a path or the bytes of an image file, its label and name.

    A label is a class or, for the splits of other kinds, what these make theirs of.
    """

    picture: str | bytes
    label: Any
    name: str

    @property
    def path(self) -> str:
        """The path of an example that is a file."""
        assert isinstance(self.picture, str)
        return self.picture


@runtime_checkable
class Reader(Protocol):
    """Random access to stored examples. It is pickled and sent to workers."""

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int]) -> Iterable[Encoded]: ...

    def labels(self) -> np.ndarray | None:
        """int32 [n], or None where finding out means reading the whole set."""


@runtime_checkable
class AnySplit(Protocol):
    """What every split has, in memory or not."""

    def __len__(self) -> int: ...

    @property
    def image_shape(self) -> Shape: ...

    @property
    def label_shape(self) -> Shape: ...

    @property
    def label_type(self) -> np.dtype: ...

    def known_labels(self) -> np.ndarray | None:
        """int32 [n], or None where labels are not known or no classes of images."""

    def subset(self: Same, indices: np.ndarray) -> Same:
        """Returns the split of the examples `indices`."""


@runtime_checkable
class Streamed(AnySplit, Protocol):
    """A split that makes its examples one by one, when they are asked for."""

    @property
    def random_crop(self) -> bool:
        """Whether `examples` takes generators in training."""

    @property
    def clips_per_video(self) -> int | None:
        """The number of consecutive examples from one video; None without videos."""

    def examples(
        self,
        indices: Sequence[int] | np.ndarray,
        rngs: Sequence[np.random.Generator | None],
    ) -> Iterable[dict]:
        """{"image", "label"} of each; without a generator, as in evaluation."""


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
        """{"image", "label"} of each."""
        del rngs
        for index in indices:
            yield {"image": self.images[index], "label": self.labels[index]}


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


SomePatches = TypeVar("SomePatches", bound=Patches)


def _cut(picture: np.ndarray, top: int, left: int, size: int, factor: int):
    rows = slice(top * factor, (top + size) * factor)
    return picture[rows, left * factor : (left + size) * factor]


@dataclass(frozen=True)
class Records:
    """A split that stays where it is stored; examples are decoded when asked for.

    `image_shape` is the shape of a decoded example, (height, width, channels) of a
    picture, `crop` the fraction of the shorter side that evaluation keeps,
    `random_crop` whether training takes random resized crops, `indices` the examples
    that the split holds, in its own order (None: all).
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


SomeRecords = TypeVar("SomeRecords", bound=Records)

Split = Arrays | Streamed
