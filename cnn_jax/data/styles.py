"""Pairs of a content picture and a style picture: code that two sources share.

The default pictures are photographs that scikit-image and scikit-learn contain, so
nothing is downloaded.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from cnn_jax.core.errors import UserError
from cnn_jax.data import bands, images
from cnn_jax.data.dataset import IMAGENET_MEAN, IMAGENET_STD, Dataset
from cnn_jax.data.labels.style import STYLE
from cnn_jax.data.splits import Shape, Split
from cnn_jax.data.walk import package_folder

PAGODA = "china.jpg"
# A stained section of tissue. Its texture is unlike that of photographs.
TISSUE = "ihc.png"


@dataclass(frozen=True)
class Pairs:
    """A split of pairs of a content picture and a style picture.

    An image is a pair, uint8 [2, height, width, 3], and the label is the index of the
    style picture. Example i has the content picture `i % len(contents)`.

    In training, the content picture is cropped at random, and the style picture is
    drawn at random. If there are several style pictures, the style picture is cropped
    at random too. In evaluation, example i has the style picture `i % len(styles)`, and
    both pictures are cropped to the largest centered box.

    Attributes:
      contents: the paths of the content pictures.
      styles: the paths of the style pictures.
      size: (height, width) of both pictures in a pair.
      each: the number of examples of each content picture in an epoch.
    """

    contents: tuple[str, ...]  # paths
    styles: tuple[str, ...]
    size: tuple[int, int]
    each: int = 1
    random_crop: bool = True

    clips_per_video: ClassVar[int | None] = None
    label_shape: ClassVar[Shape] = ()
    image_type: ClassVar[np.dtype] = bands.BYTES
    label_type: ClassVar[np.dtype] = np.dtype(np.int32)

    def __len__(self) -> int:
        return len(self.contents) * self.each

    @property
    def image_shape(self) -> Shape:
        return (2, *self.size, 3)

    def known_labels(self) -> None:
        return None

    def subset(self, indices: np.ndarray) -> "Pairs":
        """Returns a split with only some of the content pictures.

        Args:
          indices: the indices of examples; the content pictures of these examples are
            kept.
        """
        kept = sorted({int(i) % len(self.contents) for i in indices})
        return replace(self, contents=tuple(self.contents[i] for i in kept))

    def joined(self, other: "Pairs") -> "Pairs":
        return replace(self, contents=self.contents + other.contents)

    def examples(
        self,
        indices: Sequence[int] | np.ndarray,
        rngs: Sequence[np.random.Generator | None],
    ) -> Iterable[dict]:
        """Yields {"image": uint8 [2, height, width, 3], "label": int} for each index.

        Args:
          indices: the indices of the examples.
          rngs: one random generator per example, for training; None: the example is
            made as in evaluation.
        """
        shape = (*self.size, 3)
        for index, rng in zip(indices, rngs, strict=True):
            content = self.contents[int(index) % len(self.contents)]
            if rng is None:
                label = int(index) % len(self.styles)
                pair = [images.fit(p, shape) for p in (content, self.styles[label])]
            else:
                label = int(rng.integers(len(self.styles)))
                first = images.random_crop(content, shape, rng)
                # A single style is not cropped: evaluation shows it whole too.
                second = (
                    images.random_crop(self.styles[label], shape, rng)
                    if len(self.styles) > 1
                    else images.fit(self.styles[label], shape)
                )
                pair = [first, second]
            yield {"image": np.stack(pair), "label": label}


def existing(file: str, option: str) -> str:
    """Returns the path of a picture, after a check that the picture can be read.

    Args:
      file: the path in the config.
      option: the config key of the group `data` that names the file, for errors.

    Raises:
      UserError: the picture does not exist or cannot be read.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise UserError(
            f"data.{option} is {path}, but there is no such picture: set "
            f"data.{option} to the path of a picture."
        )
    images.read_image(path)
    return str(path)


def embedded(name: str) -> str:
    """Returns the path of a picture that scikit-image or scikit-learn contains.

    Args:
      name: the file name of the picture.
    """
    for package, folder in (("skimage", "data"), ("sklearn", "datasets/images")):
        root = package_folder(package)
        if root and (path := root / folder / name).is_file():
            return str(path)
    raise UserError(f"neither scikit-image nor scikit-learn has {name}: set data.dir.")


def dataset(splits: Mapping[str, Split]) -> Dataset:
    """Returns the data set of splits of picture pairs.

    Images are normalized with the statistics of ImageNet, as most pretrained weights
    expect. If the weights of a run state another normalization, the run uses the other
    normalization.
    """
    return Dataset(
        splits=splits,
        classes=(),
        image_shape=splits["train"].image_shape,
        mean=IMAGENET_MEAN[3],
        std=IMAGENET_STD[3],
        label_kind=STYLE.name,
    )
