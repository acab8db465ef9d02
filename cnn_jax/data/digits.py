"""The 1,797 handwritten digits that scikit-learn contains, so nothing is downloaded.

An image has 8x8 pixels with 17 gray levels. The source is E. Alpaydin, C. Kaynak,
"Optical Recognition of Handwritten Digits", UCI, 1998.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Channels, Index, Side
from cnn_jax.data import images
from cnn_jax.data.dataset import Dataset, assemble, check_memory
from cnn_jax.data.roles import Roles
from cnn_jax.data.source import Source
from cnn_jax.data.splits import Arrays
from cnn_jax.data.subset import ALL, Subset
from cnn_jax.data.walk import package_folder

TEST_EXAMPLES = 360
SIDE = 8  # pixels


class Pool(NamedTuple):
    """Stored digits.

    Attributes:
      images: uint8 [n, 8, 8].
      labels: [n], the digits 0 to 9, or indices into the chosen classes.
    """

    images: np.ndarray
    labels: np.ndarray


def load(
    subset: Subset = ALL,
    *,
    image_size: Side = 8,
    channels: Channels = 1,
    classes: tuple[Index, ...] = tuple(range(10)),
) -> Dataset:
    """Returns 1,437 training digits and 360 test digits.

    The split is fixed and stratified by class.

    Args:
      subset: how many examples are used, and which ones.
      image_size: pixels on a side; sizes other than 8 are resampled bilinearly.
      channels: 1, or 3 for three copies of the gray channel.
      classes: the digits to use; all other digits are left out. A label is the position
        of a digit in this list, so the first digit has the label 0.

    Raises:
      UserError: the classes are not at least two different digits.
    """
    images.check_shape(image_size, channels)
    if len(set(classes)) < max(len(classes), 2) or not set(classes) <= set(range(10)):
        raise UserError(
            f"data.classes={classes} must have at least two digits from 0 to 9, and "
            "each digit only once."
        )
    shape = (image_size, image_size, channels)
    parts = {role: _only(pool, classes) for role, pool in pools().items()}
    check_memory(sum(len(pool.labels) for pool in parts.values()), shape)
    train, test = (
        Arrays(
            np.stack(
                [images.fit(Image.fromarray(gray), shape) for gray in pool.images]
            ),
            pool.labels,
        )
        for pool in parts.values()
    )
    return assemble(
        subset.of({"train": train, "test": test}),
        classes=[str(digit) for digit in classes],
        in_memory=True,
    )


SOURCE = Source("digits", load, takes=Subset, embedded=SIDE, perturbed=True)


def pools() -> dict[str, Pool]:
    """Returns the stored digits of the splits "train" and "test".

    Other data sources take their digits from here too, so they have the same split.
    """
    values, labels = _read()
    gray = np.rint(values * (255 / 16)).astype(np.uint8)
    parts = zip(("train", "test"), _split(labels), strict=True)
    return {role: Pool(gray[part], labels[part]) for role, part in parts}


def scenes(roles: Roles, train: int, test: int) -> dict[str, tuple[Pool, int]]:
    """Returns the digits of each split, and the number of scenes to make of them.

    The digits in the scenes of one split do not occur in another split.

    Args:
      roles: the config keys that choose the validation split.
      train, test: the number of training scenes (and validation scenes, if there are
        any), and of test scenes.
    """
    stored = pools()
    pool = stored["train"]
    kept, chosen = roles.divide(train)
    of_train, of_val = roles.scaled(train, len(pool.labels)).divide(
        len(pool.labels), pool.labels
    )
    parts = {"train": (Pool(*(values[of_train] for values in pool)), len(kept))}
    if len(chosen):
        parts["val"] = Pool(*(values[of_val] for values in pool)), len(chosen)
    return parts | {"test": (stored["test"], test)}


def _only(pool: Pool, classes: tuple[int, ...]) -> Pool:
    """Returns the digits of some classes. A label is an index into `classes`.

    Args:
      pool: the stored digits.
      classes: the digits to keep.
    """
    number = np.full(10, -1, pool.labels.dtype)
    number[list(classes)] = np.arange(len(classes))
    (kept,) = np.where(number[pool.labels] >= 0)
    return Pool(pool.images[kept], number[pool.labels[kept]])


def _read() -> tuple[np.ndarray, np.ndarray]:
    """Returns the images, [1797, 8, 8] with values 0 to 16, and the labels.

    The values equal those that scikit-learn's `load_digits` returns. This function
    reads scikit-learn's file itself, because importing scikit-learn takes a second at
    every start.
    """
    package = package_folder("sklearn")
    assert package is not None  # the project depends on scikit-learn
    rows = np.loadtxt(
        package / "datasets" / "data" / "digits.csv.gz", np.int32, delimiter=","
    )
    return rows[:, :-1].reshape(-1, SIDE, SIDE), rows[:, -1]


def _split(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices of the training examples and of the test examples.

    The indices equal the result of scikit-learn's `train_test_split` with
    `stratify=labels` and `random_state=0`.
    """
    rng = np.random.RandomState(0)
    counts = np.bincount(labels)
    # Each class gets its share of the training examples, rounded down. The examples
    # that are missing then come from the classes that lost most by rounding, drawn at
    # random among equals.
    shares = counts * (1 - TEST_EXAMPLES / len(labels))
    wanted = np.floor(shares).astype(int)
    lost = shares - wanted
    for value in np.unique(lost)[::-1]:
        (equal,) = np.where(lost == value)
        missing = len(labels) - TEST_EXAMPLES - wanted.sum()
        if missing:
            size = min(missing, len(equal))
            wanted[rng.choice(equal, size, replace=False)] += 1
    parts = [
        np.split(np.where(labels == digit)[0][rng.permutation(count)], [many])
        for digit, (count, many) in enumerate(zip(counts, wanted, strict=True))
    ]
    train, test = (np.concatenate(part) for part in zip(*parts, strict=True))
    return rng.permutation(train), rng.permutation(test)
