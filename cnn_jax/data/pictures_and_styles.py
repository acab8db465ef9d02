"""Random crops of content pictures, each paired with a style picture."""

from pathlib import Path

from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Count, Side
from cnn_jax.data import images, restoration
from cnn_jax.data import styles as pairs
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.restoration import ALL, First
from cnn_jax.data.source import Source
from cnn_jax.data.walk import below

PHOTOS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "motorcycle_left.png",
    "rocket.jpg",
    "flower.jpg",
)


def load(
    subset: First = ALL,
    *,
    dir: Place = "",
    test_dir: Place = "",
    styles: Place = "",
    image_size: tuple[Side, ...] = (256,),
    crops: Count = 1,
) -> Dataset:
    """Returns random crops of content pictures, each paired with a style picture.

    `styles.Pairs` describes the pairs.

    Args:
      subset: how many content pictures are used, and which ones are for validation.
      dir: a folder of content pictures; empty: six photographs that scikit-image and
        scikit-learn contain.
      test_dir: a folder of content pictures to test on; empty: every tenth picture of
        `dir`.
      styles: a style picture, or a folder of style pictures; empty: a microscope image
        of tissue.
      image_size: the size of all pictures, a side in pixels or (height, width).
      crops: the number of crops of each content picture in an epoch.

    Raises:
      UserError: a folder has no pictures, or a style picture is missing.
    """
    if dir:
        parts = restoration.split(dir, test_dir)
    elif test_dir:
        raise UserError(
            "data.test_dir is set, but data.dir is not set: set data.dir to a folder "
            "of pictures to train on."
        )
    else:
        parts = (
            [Path(pairs.embedded(name)) for name in PHOTOS],
            [Path(pairs.embedded(pairs.PAGODA))],
        )
    size, known = images.sides(image_size), _styles(styles)
    splits = {
        role: pairs.Pairs(
            tuple(map(str, part)), known, size, each=crops if role == "train" else 1
        )
        for role, part in subset.parts(*parts).items()
    }
    return pairs.dataset(splits)


SOURCE = Source("pictures_and_styles", load, takes=First, embedded=256)


def _styles(place: str) -> tuple[str, ...]:
    if not place:
        return (pairs.embedded(pairs.TISSUE),)
    if not Path(place).expanduser().is_dir():
        return (pairs.existing(place, "styles"),)
    found = below(Path(place).expanduser())
    if not found:
        raise UserError(
            f"data.styles is {place}, which holds no pictures: add pictures, or set "
            "data.styles to another folder."
        )
    return tuple(map(str, found))
