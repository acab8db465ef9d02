"""Downscaled pictures as images, and the original pictures as labels."""

from typing import Annotated

from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Channels, Count, Range, Side
from cnn_jax.data import bicubic, digits, images, restoration
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.restoration import ALL, First, Picture
from cnn_jax.data.source import Source
from cnn_jax.data.splits import Patches


def load(
    subset: First = ALL,
    *,
    dir: Place = "",
    test_dir: Place = "",
    scale: Annotated[int, Range(least=2, most=1024)] = 2,
    channels: Channels = 1,
    image_size: Side = 24,
    patches: Count = 16,
) -> Dataset:
    """Returns downscaled pictures, and the original pictures as labels.

    Pictures are downscaled by MATLAB's bicubic `imresize`, as in the literature.

    Args:
      subset: how many pictures are used, and which ones are for validation.
      dir: a folder of training pictures; empty: the 8x8 digits.
      test_dir: a folder of test pictures; empty: every tenth picture of `dir`.
      scale: the factor of the downscaling. First, the sides of a picture are cropped to
        multiples of this factor.
      channels: 1 for luma (see `colors.luma`), 3 for RGB.
      image_size: the side of the training patches, in pixels of the downscaled picture.
        The digits are not cut into patches.
      patches: the number of random patches of each picture in an epoch.

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
    parts = restoration.pictures(dir, test_dir, channels, subset)
    pairs = {role: [pair(p) for p in part] for role, part in parts.items()}
    split = restoration.patches(pairs.pop("train"), image_size, patches, Patches)
    return restoration.dataset(split, pairs)


SOURCE = Source("super_resolution", load, takes=First, embedded=digits.SIDE // 2)
