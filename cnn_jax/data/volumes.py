"""The user's own volumes, such as scans of a body, one folder a class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from cnn_jax.data import images
from cnn_jax.data.dataset import Dataset, assemble
from cnn_jax.data.folder import labelled
from cnn_jax.data.splits import Encoded, Records, Shape
from cnn_jax.data.walk import Kind, visible_files
from cnn_jax.errors import UserError
from cnn_jax.ranges import Examples, Fraction, Number, Seed, Share, Side

SUFFIXES = (".npy", ".npz", ".nii", ".nii.gz")
VOLUMES = Kind(
    "volumes",
    " ".join(suffix[1:] for suffix in SUFFIXES),
    lambda folder: visible_files(folder, SUFFIXES),
)
Voxels = Float[np.ndarray, "depth height width"]
# Of a volume without a window of the user's: a few stray voxels do not count.
PERCENTILES = (0.5, 99.5)


def load(
    *,
    dir: str = "",
    image_size: tuple[Side, ...] = (32,),
    window: tuple[Number, ...] = (),
    test_fraction: Fraction = 0.2,
    in_memory: bool | None = None,
    train_examples: Examples | Share | None = None,
    test_examples: Examples | Share | None = None,
    subset_seed: Seed = 0,
) -> Dataset:
    """Volumes in `dir/<class>/*`, or `dir/<split>/<class>/*`, grey, to classify.

    They are arrays [depth, height, width] in `.npy` files, or alone in `.npz` files, or
    NIfTI, `.nii` and `.nii.gz`, for which nibabel is needed (`pip install
    '.[volumes]'`). See `fit` for what becomes of them. Classes, splits and what is
    ignored are those of `folder.load`.

    Args:
      dir: the folder.
      image_size: voxels on a side, or (depth, height, width).
      window: (low, high), the intensities that become black and white, and all beyond
        them with them; empty: the percentiles 0.5 and 99.5 of each volume.
      test_fraction, in_memory, train_examples, test_examples, subset_seed: see
        `folder.load`.

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
    classes, *files = labelled(dir, test_fraction, VOLUMES)
    shape = (*(image_size * 3)[:3], 1)
    return assemble(
        *(Volumes(each, shape, window=window) for each in files),
        classes=classes,
        train_examples=train_examples,
        test_examples=test_examples,
        subset_seed=subset_seed,
        in_memory=in_memory,
    )


@dataclass(frozen=True)
class Volumes(Records):
    """Volumes on the disk; see `Records`, and `load` for the window."""

    image_shape: Shape
    window: Sequence[float] = ()

    def decoded(self, example: Encoded, rng: np.random.Generator | None) -> dict:
        del rng
        image = fit(example.picture, self.image_shape, self.crop, window=self.window)
        return {"image": image, "label": example.label}


def fit(
    path: str | Path,
    image_shape: Shape,
    crop: float = 1.0,
    *,
    window: Sequence[float] = (),
) -> np.ndarray:
    """A volume as uint8 [depth, height, width, 1] = `image_shape`.

    The largest centred box of the aspect ratio of `image_shape`, measured in the file's
    own millimetres where it has them, is resampled as pictures are: linearly, and
    averaging where it shrinks.

    Args:
      crop: the fraction of each side of the box that is kept.
      window: see `load`. What is not finite counts as the lowest of all.

    Raises:
      UserError: as `read`.
    """
    voxels, spacing = read(path)
    finite = np.isfinite(voxels)
    if not finite.any():
        raise UserError(f"volume {path} has no finite value.")
    low, high = window or np.percentile(voxels[finite], PERCENTILES)
    voxels = np.where(finite, voxels, low)
    values = (voxels - low) / max(high - low, np.finfo(np.float32).tiny)
    values = values.clip(0, 1).astype(np.float32) * 255
    wanted = np.array(image_shape[:3])
    extent = np.multiply(values.shape, spacing)
    sides = wanted * (extent / wanted).min() * crop / spacing
    start = (values.shape - sides) / 2
    # Rounding may put a side outside, by less than Pillow allows.
    boxes = np.stack([start, start + sides], axis=1)
    boxes = boxes.clip(0, np.array(values.shape)[:, None])
    resampled = _resampled(values, image_shape[:3], boxes)
    return np.rint(resampled).clip(0, 255).astype(np.uint8)[..., None]


def _resampled(
    values: Voxels, shape: tuple[int, int, int], boxes: Float[np.ndarray, "3 2"]
) -> Float[np.ndarray, "out_depth out_height out_width"]:
    """A box (start, end) of each axis, resampled: within slices, then across them."""
    depth, height, width = shape
    (near, far), (top, bottom), (left, right) = boxes.tolist()

    def resized(plane: np.ndarray, size: tuple[int, int], box: images.Box):
        picture = Image.fromarray(plane)
        return np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box=box))

    inside = (left, top, right, bottom)
    slices = np.stack([resized(plane, (width, height), inside) for plane in values])
    rows = slices.reshape(len(slices), -1)
    across = (0, near, rows.shape[1], far)
    return resized(rows, (rows.shape[1], depth), across).reshape(shape)


def read(path: str | Path) -> tuple[Voxels, tuple[float, ...]]:
    """A volume [depth, height, width] and the distance of its voxels along each axis.

    Of a NIfTI file the axes are turned so that depth goes up from the feet, height to
    the front of the body and width to its right, in millimetres. Axes of a single voxel
    beyond three are dropped.

    Raises:
      UserError: with the path, for a file that is missing, damaged or no volume, and
        for NIfTI without nibabel.
    """
    with images.blamed(f"volume {path}"):
        if str(path).lower().endswith((".nii", ".nii.gz")):
            voxels, spacing = _nifti(path)
        else:
            voxels, spacing = _array(path), (1.0, 1.0, 1.0)
        if voxels.dtype.kind not in "biuf":
            raise ValueError(f"it holds values of type {voxels.dtype}")
        while voxels.ndim > 3 and 1 in voxels.shape[3:]:
            voxels = voxels.squeeze(3 + voxels.shape[3:].index(1))
        if voxels.ndim != 3 or not voxels.size:
            raise ValueError(f"its shape is {voxels.shape}, not (depth, height, width)")
    return voxels.astype(np.float64), spacing


def _array(path: str | Path) -> np.ndarray:
    with open(path, "rb") as file:
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        if len(found.files) != 1:
            raise ValueError(f"it holds {len(found.files)} arrays, not one")
        return found[found.files[0]]


def _nifti(path: str | Path) -> tuple[np.ndarray, tuple[float, ...]]:
    try:
        import nibabel
    except ImportError:
        raise UserError(
            f"volume {path} needs nibabel: pip install '.[volumes]'."
        ) from None
    image = nibabel.load(path)
    if len(image.shape) < 3:
        raise ValueError(f"its shape is {image.shape}, not that of a volume")
    image = nibabel.as_closest_canonical(image)
    right, front, up, *_ = image.header.get_zooms()
    voxels = np.asanyarray(image.dataobj)
    return voxels.swapaxes(0, 2), tuple(
        float(side) or 1.0 for side in (up, front, right)
    )
