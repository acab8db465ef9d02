"""The user's own volumes, such as scans of a body, one folder a class."""

import gzip
import io
import logging
import math
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Float
from PIL import Image

from cnn_jax.core import extras
from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Fraction, Number, Side
from cnn_jax.data import decoding, images
from cnn_jax.data.dataset import Dataset, assemble
from cnn_jax.data.folder import labeled
from cnn_jax.data.source import Files, Source, StandIn
from cnn_jax.data.splits import Encoded, Records, Shape
from cnn_jax.data.subset import STORED, Stored
from cnn_jax.data.walk import Kind, visible_files

SUFFIXES = (".npy", ".npz", ".nii", ".nii.gz")
VOLUMES = Kind(
    "volumes",
    " ".join(suffix[1:] for suffix in SUFFIXES),
    lambda folder: visible_files(folder, SUFFIXES),
)
# Of a volume that is read: 512 x 512 x 1024.
MOST_VOXELS = 2**28
MOST_ON_A_SIDE = 2**14
MOST_BEFORE_DATA = 2**26  # bytes of a NIfTI file: its header and extensions
# Of a volume without a window of the user's: a few stray voxels do not count.
PERCENTILES = (0.5, 99.5)


def load(
    stored: Stored = STORED,
    *,
    dir: Place = "",
    image_size: tuple[Side, ...] = (32,),
    window: tuple[Number, ...] = (),
    test_fraction: Fraction = 0.2,
) -> Dataset:
    """Volumes in `dir/<class>/*`, or `dir/<split>/<class>/*`, gray, to classify.

    They are arrays [depth, height, width] in `.npy` files, or alone in `.npz` files, or
    NIfTI, `.nii` and `.nii.gz` (extra `volumes`). See `fit` for what becomes of them.
    Classes, splits and what is ignored are those of `folder.load`.

    Args:
      stored: how many volumes are used, and where they are held.
      dir: the folder.
      image_size: voxels on a side, or (depth, height, width).
      window: (low, high), the intensities that become black and white, and all beyond
        them with them; empty: the percentiles 0.5 and 99.5 of each volume.
      test_fraction: see `folder.load`.

    Raises:
      UserError: as `folder.load`, and for a window that is none.
    """
    if len(image_size) not in (1, 3):
        raise UserError(
            f"data.image_size is {image_size}; it must be a side in voxels, or "
            "(depth, height, width)."
        )
    if window and not (len(window) == 2 and window[0] < window[1]):
        raise UserError(
            f"data.window is {window}; it must be (low, high), the lower one first."
        )
    classes, *files = labeled(dir, test_fraction, VOLUMES)
    shape = (*(image_size * 3)[:3], 1)
    return assemble(
        *(Volumes(each, shape, window=window) for each in files),
        classes=classes,
        subset=stored,
        in_memory=stored.in_memory,
    )


@dataclass(frozen=True)
class Volumes(Records):
    """Volumes on the disk; see `Records`, and `load` for the window."""

    window: Sequence[float] = ()

    def decoded(self, example: Encoded, rng: np.random.Generator | None) -> dict:
        del rng
        image = fit(example.path, self.image_shape, self.crop, window=self.window)
        return {"image": image, "label": example.label}


def fit(
    path: str | Path,
    image_shape: Shape,
    crop: float = 1.0,
    *,
    window: Sequence[float] = (),
) -> np.ndarray:
    """A volume as uint8 [depth, height, width, 1] = `image_shape`.

    The largest centered box of the aspect ratio of `image_shape`, measured in the
    file's own millimeters where it has them, is resampled as pictures are: linearly,
    and averaging where it shrinks.

    Args:
      crop: the fraction of each side of the box that is kept.
      window: see `load`. What is not finite counts as the lowest of all.

    Raises:
      UserError: as `read`.
    """
    voxels, spacing = read(path)
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).any():
        raise UserError(f"volume {path} has no finite value.")
    low, high = window or _percentiles(voxels)

    def gray(plane: np.ndarray) -> np.ndarray:
        plane = plane.astype(np.float64)
        plane = np.where(np.isfinite(plane), plane, low)
        values = (plane - low) / max(high - low, float(np.finfo(np.float32).tiny))
        return values.clip(0, 1).astype(np.float32) * 255

    wanted = np.array(image_shape[:3])
    extent = np.multiply(voxels.shape, spacing)
    sides = wanted * (extent / wanted).min() * crop / spacing
    start = (voxels.shape - sides) / 2
    # Rounding may put a side outside, by less than Pillow allows.
    boxes = np.stack([start, start + sides], axis=1)
    boxes = boxes.clip(0, np.array(voxels.shape)[:, None])
    resampled = _resampled(map(gray, voxels), image_shape[:3], boxes)
    return np.rint(resampled).clip(0, 255).astype(np.uint8)[..., None]


def _percentiles(voxels: np.ndarray) -> tuple[float, float]:
    """`np.percentile` of the finite values as float64, with one copy as they are."""
    if voxels.dtype.kind == "f":
        values = voxels[np.isfinite(voxels)]
    else:
        values = voxels.flatten()
    places = (values.size - 1) * np.true_divide(PERCENTILES, 100)
    below = np.floor(places).astype(int)
    above = np.minimum(below + 1, values.size - 1)
    values.partition(np.unique([below, above]))
    lower, upper = (values[i].astype(np.float64) for i in (below, above))
    share, step = places - below, upper - lower
    low, high = np.where(
        share < 0.5, lower + step * share, upper - step * (1 - share)
    ).tolist()
    return low, high


def _resampled(
    planes: Iterable[np.ndarray],
    shape: Shape,
    boxes: Float[np.ndarray, "3 2"],
) -> Float[np.ndarray, "out_depth out_height out_width"]:
    """A box (start, end) of each axis, resampled: within slices, then across them."""
    depth, height, width = shape
    (near, far), (top, bottom), (left, right) = boxes.tolist()

    def resized(plane: np.ndarray, size: tuple[int, int], box: images.Box):
        picture = Image.fromarray(plane)
        return np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box=box))

    inside = (left, top, right, bottom)
    slices = np.stack([resized(plane, (width, height), inside) for plane in planes])
    rows = slices.reshape(len(slices), -1)
    across = (0, near, rows.shape[1], far)
    return resized(rows, (rows.shape[1], depth), across).reshape(shape)


def read(path: str | Path) -> tuple[np.ndarray, tuple[float, ...]]:
    """A volume [depth, height, width] and the distance of its voxels along each axis.

    The values have the type of the file. The axes of a NIfTI file are turned so that
    depth goes up from the feet, height to the front of the body and width to its right,
    in millimeters. Axes of a single voxel beyond three are dropped.

    Raises:
      UserError: with the path, for a file that is missing, damaged, too large or no
        volume, and for NIfTI without nibabel.
    """
    with decoding.blamed(f"volume {path}"):
        decoding.regular(path)
        if str(path).lower().endswith((".nii", ".nii.gz")):
            voxels, spacing = _nifti(path)
        else:
            voxels, spacing = _array(path), (1.0, 1.0, 1.0)
    return voxels.reshape(voxels.shape[:3]), spacing


def _check(shape: Shape, dtype: np.dtype) -> None:
    """Raises `ValueError` unless a header is that of a volume which can be read."""
    if dtype.kind not in "biuf":
        raise ValueError(f"it holds values of type {dtype}")
    if len(shape) < 3 or any(side != 1 for side in shape[3:]) or min(shape) < 1:
        raise ValueError(f"its shape is {shape}, not (depth, height, width)")
    if math.prod(shape) > MOST_VOXELS or max(shape) > MOST_ON_A_SIDE:
        raise ValueError(
            f"its shape is {shape}, and volumes of at most {MOST_VOXELS} voxels, "
            f"{MOST_ON_A_SIDE} on a side, are read: make it smaller"
        )


def _array(path: str | Path) -> np.ndarray:
    with open(path, "rb") as file:
        if file.read(2) != b"PK":
            return _stored(file)
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if len(names) != 1:
                raise ValueError(f"it holds {len(names)} arrays, not one")
            with archive.open(names[0]) as member:
                return _stored(member)


def _stored(file: IO[bytes] | io.BufferedIOBase) -> np.ndarray:
    """The array of a `.npy` file, of which the header is checked first."""
    file.seek(0)
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    _check(shape, dtype)
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _nifti(path: str | Path) -> tuple[np.ndarray, tuple[float, ...]]:
    nibabel = extras.need("nibabel", "volumes", f"volume {path}")
    # It logs what it also raises, and every header that it mends.
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)
    opener = gzip.open if str(path).lower().endswith(".gz") else open
    with opener(path, "rb") as file:
        start = file.read(nibabel.Nifti2Header.sizeof_hdr)
    kinds = nibabel.Nifti1Image, nibabel.Nifti2Image
    kind = next((k for k in kinds if k.header_class.may_contain_header(start)), None)
    if kind is None:
        raise ValueError("it has no header of NIfTI")
    # Without the extensions behind it, which may state any length.
    header = kind.header_class(start[: kind.header_class.sizeof_hdr])
    _check(header.get_data_shape(), header.get_data_dtype())
    if not 0 <= header.get_data_offset() <= MOST_BEFORE_DATA:
        raise ValueError(f"its voxels begin at byte {header.get_data_offset()}")
    data = nibabel.arrayproxy.ArrayProxy(path, header)
    image = nibabel.as_closest_canonical(kind(data, header.get_best_affine(), header))
    right, front, up, *_ = image.header.get_zooms()
    voxels = np.asanyarray(image.dataobj)
    return voxels.swapaxes(0, 2), tuple(
        float(side) or 1.0 for side in (up, front, right)
    )


SOURCE = Source(
    "volumes",
    load,
    takes=Stored,
    stand_in=StandIn("moving_digits"),
    files=Files(VOLUMES, fit),
)
