"""Downscaled pictures as images, and the original pictures as labels."""

from typing import Annotated

from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Channels, Count, Examples, Range, Side
from cnn_jax.data import bicubic, digits, images, restoration
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.restoration import Picture
from cnn_jax.data.source import Source
from cnn_jax.data.splits import Patches
from cnn_jax.data.subset import FEW


def load(
    *,
    dir: Place = "",
    test_dir: Place = "",
    scale: Annotated[int, Range(least=2, most=1024)] = 2,
    channels: Channels = 1,
    image_size: Side = 24,
    patches: Count = 16,
    train_examples: Examples | None = None,
    test_examples: Examples | None = None,
) -> Dataset:
    """Returns downscaled pictures, and the original pictures as labels.

    Pictures are downscaled by MATLAB's bicubic `imresize`, as in the literature.

    Args:
      dir: a folder of training pictures; empty: the 8x8 digits.
      test_dir: a folder of test pictures; empty: every tenth picture of `dir`.
      scale: the factor of the downscaling. First, the sides of a picture are cropped to
        multiples of this factor.
      channels: 1 for luma (see `colors.luma`), 3 for RGB.
      image_size: the side of the training patches, in pixels of the downscaled picture.
        The digits are not cut into patches.
      patches: the number of random patches of each picture in an epoch.
      train_examples, test_examples: the number of pictures that are used, counted from
        the first one; None: all pictures.

    Raises:
      UserError: a folder has no pictures, or a picture is too small for a patch.
    """
    images.check_shape(image_size, channels)

    def pair(
        picture: Picture,
    ) -> tuple[Picture, Picture]:
        least = min(picture.shape[:2])
        if least < scale:
            raise UserError(
                f"data.scale is {scale}, but a picture has only {least} pixels on a "
                "side: set data.scale lower."
            )
        height, width = (side // scale * scale for side in picture.shape[:2])
        picture = picture[:height, :width]
        return bicubic.resize(picture, 1 / scale), picture

    if not dir:  # a whole digit is a patch
        image_size, patches = digits.SIDE // scale, 1
    train, test = restoration.pictures(
        dir, test_dir, channels, train_examples, test_examples
    )
    split = restoration.patches([pair(p) for p in train], image_size, patches, Patches)
    return restoration.dataset(split, [pair(p) for p in test])


SOURCE = Source("super_resolution", load, cheap=FEW, embedded=digits.SIDE // 2)
