"""Pairs of a content and a style: what sources of them share.

Without files they are photographs inside scikit-image and scikit-learn, no download.
"""

from pathlib import Path

from cnn_jax.core.errors import UserError
from cnn_jax.data import images
from cnn_jax.data.dataset import IMAGENET_MEAN, IMAGENET_STD, Dataset
from cnn_jax.data.labels.style import STYLE
from cnn_jax.data.splits import Split
from cnn_jax.data.walk import package_folder

PAGODA = "china.jpg"
# A stained section of tissue, with a texture that photographs have not.
TISSUE = "ihc.png"


def existing(file: str, option: str) -> str:
    """Returns the path of a picture, which can be read.

    Raises:
      UserError: there is none.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise UserError(f"data.{option} {path}: there is no such picture.")
    images.read_image(path)
    return str(path)


def embedded(name: str) -> str:
    """The path of a picture inside a package."""
    for package, folder in (("skimage", "data"), ("sklearn", "datasets/images")):
        root = package_folder(package)
        if root and (path := root / folder / name).is_file():
            return str(path)
    raise UserError(f"neither scikit-image nor scikit-learn has {name}: set data.dir.")


def dataset(train: Split, test: Split) -> Dataset:
    """Returns the data set, normalized as most weights expect, until those of a run say
    how."""
    return Dataset(
        splits={"train": train, "test": test},
        classes=(),
        image_shape=train.image_shape,
        mean=IMAGENET_MEAN[3],
        std=IMAGENET_STD[3],
        label_kind=STYLE.name,
    )
