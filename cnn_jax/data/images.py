"""The conversion of an image file to the uint8 array that a network takes as input.

Every picture is cropped and resampled once. A box of the picture is resized to the
(height, width) of the network's input with one of Pillow's filters, which average over
the covered pixels when they shrink a picture. In evaluation, the box is the largest
centered box with the input's aspect ratio, or a fraction of this box. In training, the
box is random.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cnn_jax.core.errors import DataWarning, UserError
from cnn_jax.data import bands, decoding, pixel_values

Box = tuple[
    float | int, float | int, float | int, float | int
]  # left, top, right, bottom in pixels
Picture = str | Path | bytes | Image.Image  # a path, an encoded file, or decoded

CROP_AREA = (0.08, 1.0)  # Szegedy et al. 2015, "Going deeper with convolutions"
CROP_RATIO = (3 / 4, 4 / 3)  # width / height

BILINEAR = "bilinear"
INTERPOLATIONS = {
    BILINEAR: Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def check_shape(image_size: int, channels: int = 1) -> None:
    """Raises `UserError` if the size or the number of channels is not valid.

    Args:
      image_size: the shortest side of the image in pixels.
      channels: the number of channels, 1 or 3. Sources of pictures with any number of
        channels do not give it.
    """
    if image_size < 1:
        raise UserError(f"data.image_size is {image_size}; it must be at least 1.")
    if channels not in (1, 3):
        raise UserError(f"data.channels is {channels}; it must be 1 (gray) or 3 (RGB).")


def sides(image_size: tuple[int, ...]) -> tuple[int, int]:
    """Returns (height, width) of an image.

    Args:
      image_size: one number for both sides, or (height, width).

    Raises:
      UserError: the tuple has another length, or a side is below 1.
    """
    if len(image_size) not in (1, 2) or min(image_size) < 1:
        raise UserError(
            f"data.image_size is {image_size}; it must be a side in pixels, or "
            "(height, width)."
        )
    return image_size[0], image_size[-1]


def read_image(path: Picture) -> Image.Image:
    """Returns a picture, upright according to its EXIF data, in mode "L" or "RGB".

    Transparent pixels become white. 16-bit gray values become 8-bit values.

    Args:
      path: a path, the bytes of an image file, or a decoded picture.

    Raises:
      UserError: the file is missing, not an image, damaged or too large. The error
        names the path.
    """
    if isinstance(path, Image.Image):
        return pixel_values.plain(path)
    what = described(path)
    with decoding.opened(path, what) as image:
        return decoding.decoded(image, what)


def described(picture: Picture, name: str | None = None) -> str:
    """Returns a picture's description for errors: "image", and its name or path.

    Args:
      picture: a path, the bytes of an image file, or a decoded picture.
      name: the picture's name; None: the path, or a default text for others.
    """
    if name is None and not isinstance(picture, str | Path):
        return "image of a user"
    return f"image {name or picture!s}"


def fit(
    picture: Picture,
    image_shape: tuple[int, ...],
    crop: float = 1.0,
    name: str | None = None,
    *,
    interpolation: str = BILINEAR,
    value_range: bands.ValueRange = None,
) -> np.ndarray:
    """Returns a picture after the evaluation transform, uint8 with shape `image_shape`.

    The largest centered box with the aspect ratio of `image_shape` is taken. Each side
    of this box is multiplied by `crop`, and the smaller box is resampled. For a square,
    this equals "resize the shorter side to size / crop, then crop the center".

    Args:
      picture: a path, the bytes of an image file, or a decoded picture.
      image_shape: (height, width, channels); 1 channel is gray, 3 channels are RGB.
        `bands` describes pictures with other numbers of channels.
      crop: the fraction of each side of the box that is kept.
      name: the picture's name in errors, if it has no path.
      interpolation: the filter, a name in `INTERPOLATIONS`.
      value_range: see `bands.read`. With a range, the result is float32.
    """

    return resample(
        picture,
        image_shape,
        lambda size: centered_box(size, image_shape, crop),
        name,
        interpolation=interpolation,
        value_range=value_range,
    )


def centered_box(
    size: tuple[int, int], image_shape: tuple[int, ...], crop: float = 1.0
) -> Box:
    """Returns the box that `fit` takes from a picture, (left, top, right, bottom).

    Args:
      size: (width, height) of the picture.
      image_shape, crop: see `fit`.
    """
    width, height = size
    aspect = image_shape[-2] / image_shape[-3]
    box_width = min(width, height * aspect) * crop
    box_height = min(height, width / aspect) * crop
    left, top = (width - box_width) / 2, (height - box_height) / 2
    return left, top, left + box_width, top + box_height


def stretch(
    picture: Picture,
    image_shape: tuple[int, ...],
    name: str | None = None,
    *,
    value_range: bands.ValueRange = None,
) -> np.ndarray:
    """Returns the whole picture resized to uint8 with shape `image_shape`.

    The aspect ratio of the picture is not kept.

    Args:
      picture, image_shape, name, value_range: see `fit`.
    """
    return resample(
        picture,
        image_shape,
        lambda size: (0, 0, *size),
        name,
        value_range=value_range,
    )


def annotated(
    path: str | Path, image_shape: tuple[int, ...], size: tuple[int, int]
) -> np.ndarray:
    """Returns an annotated picture, resized as by `stretch`.

    The picture is turned upright, as its EXIF orientation says, if its upright size
    equals `size`. If only its stored size equals `size`, the annotation describes the
    stored pixels, and the picture is not turned.

    Args:
      path: the path of the picture.
      image_shape: (height, width, channels) of the result.
      size: (width, height) of the picture according to its annotation.

    Raises:
      UserError: neither size of the picture equals `size`.
    """
    placed = placement(path, size)
    if size == placed.upright:
        return stretch(path, image_shape)
    with decoding.opened(path, f"image {path}") as image:
        lying = decoding.Placement(placed.stored, orientation=1)
        return stretch(decoding.decoded(image, f"image {path}", lying), image_shape)


def placement(path: str | Path, size: tuple[int, int]) -> decoding.Placement:
    """Returns the stored size and the orientation of an annotated picture.

    Only the header of the file is read. The function warns if the sizes do not tell
    whether the annotation describes the upright picture or the stored pixels.

    Args:
      path: the path of the picture.
      size: (width, height) of the picture according to its annotation.

    Raises:
      UserError: neither the upright size nor the stored size equals `size`.
    """
    with decoding.opened(path, f"image {path}") as image:
        placed = decoding.placement(image)
    if size not in (placed.upright, placed.stored):
        raise UserError(
            "image {} has {}x{} pixels, but its annotation says {}x{}: correct the "
            "image or the annotation.".format(path, *placed.upright, *size)
        )
    if placed.orientation > 1 and placed.upright == placed.stored:
        text = (
            f"image {path} is turned upright by its EXIF orientation. Its size does "
            "not show whether its annotation is upright too: the annotation is assumed "
            "to be upright. If this is wrong, remove the EXIF orientation."
        )
        warnings.warn(DataWarning(text), stacklevel=2)
    return placed


def random_crop(
    picture: Picture,
    image_shape: tuple[int, ...],
    rng: np.random.Generator,
    name: str | None = None,
) -> np.ndarray:
    """Returns a random box of a picture, resampled to uint8 with shape `image_shape`.

    The box has the aspect ratio of `image_shape`. Its sides are between 0.5 and 1 times
    the sides of the largest possible box.

    Args:
      picture, image_shape, name: see `fit`.
      rng: the random generator that draws the box.
    """

    def box(size: tuple[int, int]) -> Box:
        width, height = size
        aspect = image_shape[1] / image_shape[0]
        share = rng.uniform(0.5, 1)
        box_width = share * min(width, height * aspect)
        box_height = share * min(height, width / aspect)
        left = rng.uniform(0, width - box_width)
        top = rng.uniform(0, height - box_height)
        return left, top, left + box_width, top + box_height

    return resample(picture, image_shape, box, name)


def random_crop_box(
    size: tuple[int, int],
    rng: np.random.Generator,
    crop_area: Sequence[float] = CROP_AREA,
) -> Box:
    """Returns a random box inside a picture, (left, top, right, bottom).

    The area of the box is uniform. Its ratio of width to height lies between 3/4 and
    4/3 and is log-uniform, as in Szegedy et al. 2015. Up to ten boxes are drawn until
    one fits into the picture. If none fits, as in a very long picture, the largest
    centered box with an allowed aspect ratio is returned.

    Args:
      size: (width, height) of the picture.
      rng: the random generator that draws the box.
      crop_area: the smallest and the largest share of the picture's area that the box
        covers.
    """
    width, height = size
    low, high = (math.log(ratio) for ratio in CROP_RATIO)
    for _ in range(10):
        area = width * height * rng.uniform(crop_area[0], crop_area[1])
        ratio = math.exp(rng.uniform(low, high))
        box_width = round(math.sqrt(area * ratio))
        box_height = round(math.sqrt(area / ratio))
        if 0 < box_width <= width and 0 < box_height <= height:
            left = int(rng.integers(width - box_width + 1))
            top = int(rng.integers(height - box_height + 1))
            return left, top, left + box_width, top + box_height
    box_width = min(width, max(1, round(height * CROP_RATIO[1])))
    box_height = min(height, max(1, round(width / CROP_RATIO[0])))
    left, top = (width - box_width) // 2, (height - box_height) // 2
    return left, top, left + box_width, top + box_height


def resample(
    picture: Picture,
    image_shape: tuple[int, ...],
    choose_box: Callable[[tuple[int, int]], Box],
    name: str | None = None,
    *,
    interpolation: str = BILINEAR,
    value_range: bands.ValueRange = None,
) -> np.ndarray:
    """Returns a box of a picture, resampled to uint8 [height, width, channels].

    Args:
      picture: a path, the bytes of an image file, or a decoded picture.
      image_shape: (height, width, channels) of the result.
      choose_box: a function from (width, height) of the upright picture to the box,
        (left, top, right, bottom).
      name: the picture's name in errors, if it has no path.
      interpolation: the filter, a name in `INTERPOLATIONS`.
      value_range: see `bands.read`. With a range, the result is float32.
    """
    height, width, channels = image_shape
    resampling = INTERPOLATIONS[interpolation]
    if value_range is not None or bands.is_banded(picture, channels):
        what = described(picture, name)
        pixels = bands.read(picture, channels, what, value_range)
        box = choose_box(pixels.shape[1::-1])
        return bands.resized(pixels, (width, height), box, resampling)
    if isinstance(picture, Image.Image):
        image, size = pixel_values.plain(picture), picture.size
        box = choose_box(size)
    else:
        what = described(picture, name)
        with decoding.opened(picture, what) as encoded:
            placed = decoding.placement(encoded)
            size = placed.upright
            box = choose_box(size)
            # A JPEG decodes faster at 1/2, 1/4 or 1/8 of its size. With at least twice
            # the needed pixels on a side, the result looks the same.
            spare = min((box[2] - box[0]) / width, (box[3] - box[1]) / height) / 2
            if spare >= 2:
                across, down = (math.ceil(side / spare) for side in encoded.size)
                encoded.draft(encoded.mode, (across, down))
            image = decoding.decoded(encoded, what, placed)
    if image.mode != (mode := {1: "L", 3: "RGB"}[channels]):
        image = image.convert(mode)
    x, y = image.size[0] / size[0], image.size[1] / size[1]
    box = (box[0] * x, box[1] * y, box[2] * x, box[3] * y)
    if (image.size, box) != ((width, height), (0, 0, width, height)):  # else a copy
        image = image.resize((width, height), resampling, box=box)
    return np.asarray(image, np.uint8).reshape(image_shape)
