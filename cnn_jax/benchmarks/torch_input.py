"""Loads the same images with torchvision and PyTorch's DataLoader.

Both libraries are imported only when they are used, since they are no dependencies. The
processes of a DataLoader import this module too, so it imports nothing that needs JAX.
"""

import io
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cnn_jax.data.folder import Files
from cnn_jax.data.splits import Records

AHEAD = 2  # batches that a worker prepares ahead, PyTorch's default


def batches(
    split: Records, *, batch_size: int, workers: int, stop_step: int
) -> Generator[Any, None, None]:
    """Yields batches [images uint8 (batch, height, width, channels), labels].

    Each epoch is shuffled, and epochs follow each other as in our loader: the last
    batch of an epoch is not smaller, and no worker waits between two epochs.
    """
    import torch

    # Processes of a DataLoader use one thread too, and so does our loader.
    torch.set_num_threads(1)
    pictures = dataset(split)
    yield from torch.utils.data.DataLoader(
        pictures,
        batch_size,
        # This is the sampler of `shuffle=True`, over more than one epoch.
        sampler=torch.utils.data.RandomSampler(
            pictures, num_samples=batch_size * stop_step
        ),
        num_workers=workers,
        prefetch_factor=AHEAD if workers else None,
        # A process forked from a process with JAX's threads may wait forever.
        multiprocessing_context="spawn" if workers else None,
    )


def dataset(split: Records) -> Any:
    """Returns a PyTorch data set of the examples of a split, (image, label).

    Class folders become torchvision's `ImageFolder`.
    """
    from torchvision.datasets import ImageFolder

    if not isinstance(split.reader, Files):
        return Stored(split, transform(split))
    indices = range(len(split)) if split.indices is None else split.indices
    paths = {os.path.normpath(split.reader.paths[i]) for i in indices}
    found = ImageFolder(
        Path(split.reader.paths[0]).parents[1],
        transform(split),
        # Leave out the test split, and files that our loader does not read.
        is_valid_file=lambda path: os.path.normpath(path) in paths,
        allow_empty=True,
    )
    if len(found) != len(split):
        raise ValueError(f"the peer has {len(found)} images and not {len(split)}")
    return found


@dataclass(frozen=True)
class Stored:
    """The encoded images of a TFDS data set, decoded as `ImageFolder` does."""

    split: Records
    to_array: Callable[[Image.Image], np.ndarray]

    def __len__(self) -> int:
        return len(self.split)

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[np.ndarray, int]]:
        """Reads the records of a batch together; a DataLoader calls this."""
        if self.split.indices is not None:
            indices = self.split.indices[indices].tolist()
        return [
            (
                self.to_array(Image.open(_file(stored.picture)).convert("RGB")),
                stored.label,
            )
            for stored in self.split.reader.read(indices)
        ]


def _file(picture: str | bytes) -> str | io.BytesIO:
    return io.BytesIO(picture) if isinstance(picture, bytes) else picture


def transform(split: Records) -> Callable[[Image.Image], np.ndarray]:
    """Returns a function from an image to a uint8 array (height, width[, channels]).

    The function crops at random if our loader does, and otherwise keeps the image size.
    It does not use torchvision's `PILToTensor`, which would move the channels to the
    front. Our channels stay last, and the copy would count against PyTorch.
    """
    from torchvision import transforms

    height, width, channels = split.image_shape
    steps = [transforms.Grayscale()] if channels == 1 else []
    if split.random_crop:
        steps.append(transforms.RandomResizedCrop((height, width)))
    return transforms.Compose([*steps, np.array])
