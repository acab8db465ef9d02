"""Loads the same images as our loader, with torchvision and PyTorch's DataLoader.

Both libraries are imported only when they are used, because this package does not
depend on them. The processes of a DataLoader import this module too, so the module
imports nothing that needs JAX.
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

    Each epoch is shuffled. As in our loader, epochs follow each other without a break:
    the last batch of an epoch is not smaller, and no worker waits between two epochs.

    Args:
      split: the training split.
      batch_size: the number of images per batch.
      workers: the number of worker processes; 0 loads in this process.
      stop_step: the number of batches.
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
    """Returns a PyTorch data set with the examples (image, label) of a split.

    If images are stored in one folder per class, the data set is torchvision's
    `ImageFolder`.
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
    """A PyTorch data set with the images of a TFDS data set.

    Images are decoded when they are read, in the same way as by `ImageFolder`.

    Attributes:
      split: the split of the TFDS data set.
      to_array: a function from a decoded image to an array; see `transform`.
    """

    split: Records
    to_array: Callable[[Image.Image], np.ndarray]

    def __len__(self) -> int:
        return len(self.split)

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[np.ndarray, int]]:
        """Returns the examples (image, label) of a batch. A DataLoader calls this."""
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

    If our loader crops images at random, the function does so too. Otherwise the
    function takes the center of the resized image. The function does not use
    torchvision's `PILToTensor`, which copies the image to move the channels to the
    front. Our loader makes no such copy, so the comparison would be unfair to PyTorch.
    """
    from torchvision import transforms

    height, width, channels = split.image_shape
    steps = [transforms.Grayscale()] if channels == 1 else []
    if split.crop_area is not None:
        steps.append(transforms.RandomResizedCrop((height, width), split.crop_area))
    else:
        shorter = transforms.Resize(min(height, width))
        steps += [shorter, transforms.CenterCrop((height, width))]
    return transforms.Compose([*steps, np.array])
