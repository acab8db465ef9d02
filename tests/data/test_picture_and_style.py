"""One picture beside the one whose style it is to have."""

import numpy as np

from cnn_jax import data
from cnn_jax.data import images


def test_files(pictures):
    content, style = pictures / "00.png", pictures / "05.png"
    one = data.load(
        "picture_and_style", file=str(content), style=str(style), image_size=(10,)
    )
    for split in one.splits.values():
        (pair,) = split.images
        for found, file in zip(pair, (content, style), strict=True):
            np.testing.assert_array_equal(found, images.fit(file, (10, 10, 3)))
