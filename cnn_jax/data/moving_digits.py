"""Clips of a moving handwritten digit. The label is the direction and speed.

A single frame does not reveal the label. A digit that leaves the canvas at one side
returns at the other side. So the position of the digit in each frame is uniformly
distributed for every motion. The digit and its size are drawn independently of the
motion.
"""

from typing import Annotated

import numpy as np
from PIL import Image

from cnn_jax.core.ranges import Channels, Examples, Range
from cnn_jax.data import clips as user_clips
from cnn_jax.data import digits, images
from cnn_jax.data.dataset import Dataset, assemble, check_memory
from cnn_jax.data.roles import WHOLE, Roles
from cnn_jax.data.source import Source
from cnn_jax.data.splits import Arrays, Split
from cnn_jax.data.subset import FEW

# Rows and columns of one step.
DIRECTIONS = {
    "right": (0, 1),
    "down right": (1, 1),
    "down": (1, 0),
    "down left": (1, -1),
    "left": (0, -1),
    "up left": (-1, -1),
    "up": (-1, 0),
    "up right": (-1, 1),
}
SPLITS = {"train": 0, "test": 1, "val": 2}
SPEEDS = {"slow": 1, "fast": 2}  # pixels per frame
# The motion of each label: the rows and columns that the digit moves per frame.
MOTIONS = {
    f"{direction}, {speed}": (pixels * down, pixels * right)
    for direction, (down, right) in DIRECTIONS.items()
    for speed, pixels in SPEEDS.items()
}
# A digit's side in eighths of the canvas: 12 to 20 pixels of 32.
SMALLEST, LARGEST = 3, 5
# Gray levels of the digit and of the noise, which is new in each frame.
INK, NOISE = (112, 255), 32
LEAST_SIZE = 16


def load(
    roles: Roles = WHOLE,
    *,
    image_size: Annotated[int, Range(least=LEAST_SIZE, most=2**16)] = 32,
    frames: Annotated[int, Range(least=2, most=1024)] = 8,
    channels: Channels = 1,
    train_examples: Examples = 2000,
    test_examples: Examples = 400,
) -> Dataset:
    """Returns clips of moving digits, uint8 [frames, image_size, image_size, channels].

    The classes are the 16 `MOTIONS`. The digits in the clips of one split do not
    occur in another split. Each clip depends only on its split and its index.

    Args:
      roles: which clips are for validation.
      image_size: pixels on a side of each frame; the digit is scaled with the frame.
      frames: the number of frames of each clip.
      channels: 1, or 3 for three copies of the gray channel.
      train_examples, test_examples: the number of clips. A smaller number gives the
        first clips of a larger number.
    """
    images.check_shape(image_size, channels)
    shape = (frames, image_size, image_size, channels)
    check_memory(train_examples + test_examples, shape)
    splits: dict[str, Split] = {}
    parts = digits.scenes(roles, train_examples, test_examples)
    for role, (pool, count) in parts.items():
        clips = np.empty((count, *shape), np.uint8)
        labels = np.empty(count, np.int32)
        for index in range(count):
            rng = np.random.default_rng([SPLITS[role], index])
            gray, labels[index] = _clip(rng, frames, image_size, pool)
            clips[index] = gray[..., None]
        splits[role] = Arrays(clips, labels)
    # A mirrored clip shows another motion.
    return assemble(splits, classes=tuple(MOTIONS), in_memory=True, mirrorable=False)


SOURCE = Source(
    "moving_digits", load, takes=Roles, cheap=FEW, embedded=32, files=user_clips.FILES
)


def _clip(
    rng: np.random.Generator, frames: int, size: int, pool: digits.Pool
) -> tuple[np.ndarray, int]:
    """Returns a random clip, uint8 [frames, size, size], and its label.

    Args:
      rng: the random generator that draws the digit and its motion.
      frames: the number of frames.
      size: the side of each frame in pixels.
      pool: the stored digits.
    """
    label = int(rng.integers(len(MOTIONS)))
    step = np.array(list(MOTIONS.values())[label])
    start = rng.integers(0, size, 2)
    side = int(rng.integers(size * SMALLEST // 8, size * LARGEST // 8, endpoint=True))
    digit = pool.images[rng.integers(len(pool.images))]
    canvas = np.zeros((size, size), np.int32)
    canvas[:side, :side] = images.fit(Image.fromarray(digit), (side, side, 1))[..., 0]
    canvas = canvas * int(rng.integers(*INK, endpoint=True)) // 255
    clip = np.stack(
        [np.roll(canvas, start + t * step, axis=(0, 1)) for t in range(frames)]
    )
    noise = rng.integers(-NOISE, NOISE, clip.shape, np.int32, endpoint=True)
    return (clip + noise).clip(0, 255).astype(np.uint8), label
