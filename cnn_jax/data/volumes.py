"""The user's own volumes, such as medical scans, in one folder per class."""

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
from cnn_jax.data.folder import TEST_SPLIT, Layout, labeled
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
# Limits of a volume: 512 x 512 x 1024 voxels.
MOST_VOXELS = 2**28
MOST_ON_A_SIDE = 2**14
MOST_BEFORE_DATA = 2**26  # bytes of a NIfTI file before its voxels: header, extensions
# The default window of a volume. Percentiles ignore a few extreme voxels.
PERCENTILES = (0.5, 99.5)


def load(
    stored: Stored = STORED,
    *,
    dir: Place = "",
    image_size: tuple[Side, ...] = (32,),
    window: tuple[Number, ...] = (),
    test_fraction: Fraction = 0.2,
    test_split: tuple[str, ...] = TEST_SPLIT,
) -> Dataset:
    """Returns gray volumes in `dir/<class>/*`, or `dir/<split>/<class>/*`, to classify.

    A volume is an array [depth, height, width] in a `.npy` file, the only array in a
    `.npz` file, or a NIfTI file, `.nii` or `.nii.gz` (extra `volumes`). `fit` describes
    how volumes are resampled. `folder.load` describes the classes, the splits and the
    ignored files.

    Args:
      stored: how many volumes are used, and whether they are held in memory.
      dir: the folder.
      image_size: the size of a resampled volume, a side in voxels or (depth, height,
        width).
      window: (low, high), the intensities that become black and white. Lower
        intensities become black too, and higher intensities become white. Empty: the
        percentiles 0.5 and 99.5 of each volume.
      test_fraction, test_split: see `folder.load`.

    Raises:
      UserError: see `folder.load`; also if `window` is not valid.
    """
    if len(image_size) not in (1, 3):
        raise UserError(
            f"data.image_size is {image_size}; it must be a side in voxels, or "
            "(depth, height, width)."
        )
    if window and not (len(window) == 2 and window[0] < window[1]):
        raise UserError(
            f"data.window is {window}; it must be two numbers, (low, high), with the "
            "lower number first."
        )
    classes, parts = labeled(dir, Layout(stored, test_fraction, test_split), VOLUMES)
    shape = (*(image_size * 3)[:3], 1)
    splits = {role: Volumes(f, shape, window=window) for role, f in parts.items()}
    return assemble(
        stored.of(splits), classes=classes, in_memory=stored.in_memory, root=dir
    )


@dataclass(frozen=True)
class Volumes(Records):
    """A split of volumes on the disk; see `Records`.

    Attributes:
      window: the intensities that become black and white; see `load`.
    """

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
    """Returns a resampled volume, uint8 [depth, height, width, 1].

    The largest centered box with the aspect ratio of `image_shape` is resampled
    linearly. Where the volume shrinks, the covered voxels are averaged. The aspect
    ratio is measured in millimeters if the file states the size of its voxels, and in
    voxels otherwise.

    Args:
      path: the file of the volume.
      image_shape: the shape of the result.
      crop: the fraction of each side of the box that is kept.
      window: see `load`. Values that are not finite become black.

    Raises:
      UserError: see `read`; also if no value is finite.
    """
    voxels, spacing = read(path)
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).any():
        raise UserError(f"volume {path} has no finite value: remove the file.")
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
    # Rounding may put a side of the box slightly outside, and Pillow refuses such
    # boxes.
    boxes = np.stack([start, start + sides], axis=1)
    boxes = boxes.clip(0, np.array(voxels.shape)[:, None])
    resampled = _resampled(map(gray, voxels), image_shape[:3], boxes)
    return np.rint(resampled).clip(0, 255).astype(np.uint8)[..., None]


def _percentiles(voxels: np.ndarray) -> tuple[float, float]:
    """Returns the `PERCENTILES` of the finite values of a volume.

    The result equals the result of `np.percentile`, but this function needs less
    memory: it makes only one copy of the values, in their own type.
    """
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
    """Returns a box of a volume, resampled to another size.

    First, each slice is resampled in its plane. Then the slices are resampled along the
    depth.

    Args:
      planes: the slices of the volume, float32 [height, width].
      shape: (depth, height, width) of the result.
      boxes: (start, end) of the box along the depth, the height and the width, in
        voxels.
    """
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
    """Returns a volume [depth, height, width], and its voxel size in each dimension.

    The values have the type that the file stores. The dimensions of a NIfTI file are
    flipped and reordered: depth increases from the feet to the head, height from the
    back of the body to the front, and width from the left of the body to the right. The
    size of a NIfTI voxel is in millimeters; other voxels have the size 1. Additional
    dimensions of length 1 are removed.

    Raises:
      UserError: the file is missing, damaged, too large or not a volume, or nibabel is
        needed for a NIfTI file and not installed. The error names the path.
    """
    with decoding.blamed(f"volume {path}"):
        decoding.regular(path)
        if str(path).lower().endswith((".nii", ".nii.gz")):
            voxels, spacing = _nifti(path)
        else:
            voxels, spacing = _array(path), (1.0, 1.0, 1.0)
    return voxels.reshape(voxels.shape[:3]), spacing


def _check(shape: Shape, dtype: np.dtype) -> None:
    """Raises `ValueError` if an array of this shape and type cannot be a volume."""
    if dtype.kind not in "biuf":
        raise ValueError(f"it holds values of type {dtype}, which are not real numbers")
    if len(shape) < 3 or any(side != 1 for side in shape[3:]) or min(shape) < 1:
        raise ValueError(f"its shape is {shape}, not (depth, height, width)")
    if math.prod(shape) > MOST_VOXELS or max(shape) > MOST_ON_A_SIDE:
        raise ValueError(
            f"its shape is {shape}, but the limit is {MOST_VOXELS} voxels, and "
            f"{MOST_ON_A_SIDE} on a side: make it smaller"
        )


def _array(path: str | Path) -> np.ndarray:
    with open(path, "rb") as file:
        if file.read(2) != b"PK":
            return _stored(file)
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if len(names) != 1:
                raise ValueError(
                    f"it holds {len(names)} arrays, but it must hold one array"
                )
            with archive.open(names[0]) as member:
                return _stored(member)


def _stored(file: IO[bytes] | io.BufferedIOBase) -> np.ndarray:
    """Returns the array in an opened `.npy` file, after a check of its header."""
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
    # Nibabel logs the errors that it also raises, and every header that it repairs.
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)
    opener = gzip.open if str(path).lower().endswith(".gz") else open
    with opener(path, "rb") as file:
        start = file.read(nibabel.Nifti2Header.sizeof_hdr)
    kinds = nibabel.Nifti1Image, nibabel.Nifti2Image
    kind = next((k for k in kinds if k.header_class.may_contain_header(start)), None)
    if kind is None:
        raise ValueError("it has no NIfTI header")
    # The extensions after the header are left out: they may state any length.
    header = kind.header_class(start[: kind.header_class.sizeof_hdr])
    _check(header.get_data_shape(), header.get_data_dtype())
    if not 0 <= header.get_data_offset() <= MOST_BEFORE_DATA:
        raise ValueError(
            "its header is damaged: the voxels cannot begin at byte "
            f"{header.get_data_offset()}"
        )
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
