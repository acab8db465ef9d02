"""Prepared TensorFlow Datasets with a class label for every pixel.

`tfds_source` reads prepared sets for image classification.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Level, Side
from cnn_jax.data import images, mask_records, masks, tfds_files, tfds_source
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.labels.pixels import PIXELS
from cnn_jax.data.source import Description, Source, StandIn
from cnn_jax.data.subset import STORED, Stored


def load(
    name: str,
    stored: Stored = STORED,
    *,
    data_dir: Place | None = None,
    train_split: str = "train",
    test_split: str = "test",
    image_size: tuple[Side, ...] | None = None,
    classes: tuple[str, ...] = (),
    ignored: tuple[Level, ...] = (),
) -> Dataset:
    """Returns the prepared set `name[/config][:version]`, for segmentation.

    Each example has one color image and one mask. `masks.load` explains the values of
    masks.

    Args:
      name: the name of the set.
      stored: how many examples are used, and whether the images are held in memory. By
        default, images of many sizes are not held in memory.
      data_dir, train_split, test_split: see `tfds_source.load`.
      image_size: a side in pixels, or (height, width). Pictures and masks are stretched
        to this size. None: the size of the stored images, if they all have one size.
      classes: the names of the classes, in the order of the masks' values; empty: the
        class names that the set contains.
      ignored: values of masks whose pixels have no class. The value 255 is always
        ignored.

    Raises:
      UserError: see `tfds_source.load`; also if `classes` is empty and the set contains
        no class names.
    """
    path = tfds_files.find(name, data_dir)
    info = tfds_files.builder(path).info
    title = f"tfds:{name}"
    facts = _facts(info, title, image_size, classes)
    named = tfds_source.named(stored, train_split, test_split, info.splits)
    splits = {
        role: mask_records.MaskRecords(
            PreparedMasks(
                path=str(path),
                title=title,
                split=split,
                image_key=facts.image_key,
                label_key=facts.mask_key,
                large=True,
                classes=len(facts.classes),
                table=masks.class_table(facts.classes, ignored),
            ),
            facts.image_shape,
        )
        for role, split in named.items()
    }
    for split in splits.values():
        tfds_source.check_split(split, info)
    in_memory = stored.in_memory
    if in_memory is None and None in info.features[facts.image_key].shape:
        in_memory = False
    return masks.with_masks(
        splits,
        stored,
        classes=facts.classes,
        in_memory=in_memory,
    )


def describe(
    name: str,
    *,
    data_dir: str | None = None,
    image_size: tuple[Side, ...] | None = None,
    classes: tuple[str, ...] = (),
    **_: object,
) -> Description:
    """Returns the classes and the shapes of a set, without reading its examples.

    Args:
      name: the name of the set, `name[/config][:version]`.
      data_dir, image_size, classes: see `load`.

    Raises:
      UserError: the set is neither prepared nor known to TFDS.
    """
    info = tfds_files.known(name, data_dir)
    facts = _facts(info, f"tfds:{name}", image_size, classes)
    shape = facts.image_shape
    return Description(facts.classes, shape, PIXELS.shape(shape), PIXELS.name)


SOURCE = Source(
    "tfds_masks",
    load,
    takes=Stored,
    named=True,
    describer=describe,
    stand_in=StandIn("digit_scenes"),
)


@dataclass(frozen=True)
class PreparedMasks(tfds_source.Prepared):
    """A reader of the encoded images and masks in one split.

    Attributes:
      table: the class of each value of a mask; see `masks.class_table`.
    """

    table: np.ndarray = field(repr=False)

    def compared(self) -> int:
        """Returns the number of examples whose sizes `mask_records.aligned` compares.

        The number is small because TFDS reads each of these examples as a whole.
        """
        return min(len(self), 64)

    def labels(self) -> None:
        return None

    def _encoded(self) -> tuple[str, ...]:
        return self.image_key, self.label_key

    def _label(self, stored: Any, name: str) -> mask_records.Mask:
        return mask_records.Mask(stored, self.table, name)


class Facts(NamedTuple):
    """What is known of a set for segmentation before its examples are read.

    Attributes:
      image_key: the name of the feature that holds the images.
      mask_key: the name of the feature that holds the masks.
      classes: the names of the classes.
      image_shape: (height, width, channels) of the images in a batch.
    """

    image_key: str
    mask_key: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]


def _facts(
    info: Any, title: str, image_size: tuple[int, ...] | None, classes: tuple[str, ...]
) -> Facts:
    import tensorflow_datasets as tfds

    pictures = {
        key: feature
        for key, feature in info.features.items()
        if isinstance(feature, tfds.features.Image)
    }
    images_found = [key for key, feature in pictures.items() if feature.shape[-1] == 3]
    masks_found = [key for key, feature in pictures.items() if feature.shape[-1] == 1]
    if len(images_found) != 1 or len(masks_found) != 1:
        raise UserError(
            f"{title} is not a set for segmentation, with one image of three channels "
            "and one mask of one channel. Its features are "
            f"{', '.join(sorted(info.features))}. Choose another set."
        )
    mask = pictures[masks_found[0]]
    own = tuple(mask.names) if getattr(mask, "num_classes", None) else ()
    if not (classes or own):
        raise UserError(
            f"{title} does not name the classes of its masks: set data.classes to the "
            "names."
        )
    size = None if image_size is None else images.sides(image_size)
    shape = tfds_source.image_shape(pictures[images_found[0]], size, title)
    return Facts(images_found[0], masks_found[0], classes or own, shape)
