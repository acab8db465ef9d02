"""The 1,797 handwritten digits inside scikit-learn: 8x8, 17 grey levels, no download.

E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.
"""

import numpy as np
from PIL import Image

from cnn_jax.data import images
from cnn_jax.data.dataset import Arrays, Dataset, assemble

TEST_EXAMPLES = 360


def load(
    *,
    image_size: int = 8,
    channels: int = 1,
    train_examples: int | None = None,
    test_examples: int | None = None,
) -> Dataset:
    """1,437 digits to train on and 360 to test on, always the same, stratified.

    Args:
      image_size: pixels on a side; other than 8, resampled bilinearly.
      channels: 1, or 3 for the same grey three times.
      train_examples, test_examples: use only that many, classes in proportion.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images.check_shape(image_size, channels)
    digits = load_digits()
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    shape = (image_size, image_size, channels)
    pictures = np.stack([images.fit(Image.fromarray(image), shape) for image in grey])
    labels = digits.target.astype(np.int32)
    train, test = train_test_split(
        np.arange(len(labels)),
        test_size=TEST_EXAMPLES,
        stratify=labels,
        random_state=0,
    )
    return assemble(
        Arrays(pictures[train], labels[train]),
        Arrays(pictures[test], labels[test]),
        classes=[str(name) for name in digits.target_names],
        train_examples=train_examples,
        test_examples=test_examples,
        in_memory=True,
    )
