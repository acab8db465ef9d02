"""Images of rotated handwritten digits. The label is the angle, for regression.

The digits come from `digits`. An image depends only on its split and its index, so it
is the same for any number of images.
"""

from typing import Annotated

import numpy as np
from PIL import Image

from cnn_jax.core.ranges import Channels, Examples, Range, Side
from cnn_jax.data import digits, images
from cnn_jax.data.dataset import Dataset, assemble, check_memory
from cnn_jax.data.labels.values import VALUES
from cnn_jax.data.roles import WHOLE, Roles
from cnn_jax.data.source import Source
from cnn_jax.data.splits import Arrays, Split
from cnn_jax.data.subset import FEW

SPLITS = {"train": 0, "test": 1, "val": 2}


def load(
    roles: Roles = WHOLE,
    *,
    image_size: Side = 28,
    channels: Channels = 1,
    train_examples: Examples = 2000,
    test_examples: Examples = 400,
    most_degrees: Annotated[float, Range(above=0, most=180)] = 45.0,
) -> Dataset:
    """Returns images of rotated digits with the label "degrees".

    The angle of an image is uniformly distributed between -`most_degrees` and
    `most_degrees`. Positive angles are counterclockwise. The digits in the images of
    one split do not occur in another split.

    Args:
      roles: which images are for validation.
      image_size: pixels on a side; digits are resampled bilinearly.
      channels: 1, or 3 for three copies of the gray channel.
      train_examples, test_examples: the number of images. A smaller number gives the
        first images of a larger number.
      most_degrees: the largest angle.
    """
    shape = (image_size, image_size, channels)
    images.check_shape(image_size, channels)
    check_memory(train_examples + test_examples, shape)
    splits: dict[str, Split] = {}
    parts = digits.scenes(roles, train_examples, test_examples)
    for role, (pool, count) in parts.items():
        rotated = np.empty((count, *shape), np.uint8)
        angles = np.empty((count, 1), np.float32)
        for index in range(count):
            rng = np.random.default_rng([SPLITS[role], index])
            digit = pool.images[rng.integers(len(pool.images))]
            angles[index] = rng.uniform(-most_degrees, most_degrees)
            whole = images.fit(Image.fromarray(digit), (image_size, image_size, 1))
            turned = Image.fromarray(whole[..., 0]).rotate(
                float(angles[index, 0]), Image.Resampling.BILINEAR
            )
            rotated[index] = np.asarray(turned)[..., None]
        splits[role] = Arrays(rotated, angles)
    # A mirrored digit has another angle.
    return assemble(
        splits,
        classes=("degrees",),
        in_memory=True,
        label_kind=VALUES.name,
        mirrorable=False,
    )


SOURCE = Source("rotated_digits", load, takes=Roles, cheap=FEW, embedded=28)
