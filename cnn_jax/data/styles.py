"""Pictures beside others in whose style they are to be: pairs of a content and a style.

Without files they are photographs inside scikit-image and scikit-learn, no download.
"""

import importlib.util
from pathlib import Path

from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Count, Examples, Side
from cnn_jax.data import images, restoration
from cnn_jax.data.dataset import IMAGENET_MEAN, IMAGENET_STD, Dataset, into_memory
from cnn_jax.data.labels.style import STYLE
from cnn_jax.data.source import Source
from cnn_jax.data.splits import Pairs, Split
from cnn_jax.data.subset import FEW
from cnn_jax.data.walk import below

PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png")
PHOTOS += ("rocket.jpg", "flower.jpg")
PAGODA = "china.jpg"
# A stained section of tissue, with a texture that photographs have not.
TISSUE = "ihc.png"


def picture_and_style(
    *, file: Place = "", style: Place = "", image_size: tuple[Side, ...] = (256,)
) -> Dataset:
    """One picture beside one style, to train and to test on alike.

    Args:
      file: the picture; empty: a pagoda.
      style: the picture whose style it is; empty: a section of tissue.
      image_size: of both, a side or (height, width): of each the largest centered box
        of that aspect ratio.

    Raises:
      UserError: a file that is missing or no picture.
    """
    content = _existing(file, "file") if file else embedded(PAGODA)
    of = _existing(style, "style") if style else embedded(TISSUE)
    split = into_memory(Pairs((content,), (of,), images.sides(image_size)))
    return _dataset(split, split)


def pictures_and_styles(
    *,
    dir: Place = "",
    test_dir: Place = "",
    styles: Place = "",
    image_size: tuple[Side, ...] = (256,),
    crops: Count = 1,
    train_examples: Examples | None = None,
    test_examples: Examples | None = None,
) -> Dataset:
    """Random crops of pictures, each beside a style; see `Pairs`.

    Args:
      dir: a folder of pictures; empty: six photographs.
      test_dir: a folder of pictures to test on; empty: every tenth one of `dir`.
      styles: a picture, or a folder of them; empty: a section of tissue.
      image_size: of all, a side or (height, width).
      crops: that each picture gives an epoch.
      train_examples, test_examples: use only so many pictures, the first ones.

    Raises:
      UserError: a folder without pictures, or a style that is missing.
    """
    if dir:
        parts = restoration.split(dir, test_dir)
    elif test_dir:
        raise UserError("data.test_dir is set, and data.dir is not: set both.")
    else:
        parts = [embedded(name) for name in PHOTOS], [embedded(PAGODA)]
    counts = train_examples, test_examples
    contents = [
        tuple(str(path) for path in part[:count])
        for part, count in zip(parts, counts, strict=True)
    ]
    size, known = images.sides(image_size), _styles(styles)
    return _dataset(
        Pairs(contents[0], known, size, each=crops), Pairs(contents[1], known, size)
    )


ONE = Source("picture_and_style", picture_and_style, embedded=256)
MANY = Source("pictures_and_styles", pictures_and_styles, cheap=FEW, embedded=256)


def _styles(place: str) -> tuple[str, ...]:
    if not place:
        return (embedded(TISSUE),)
    if not Path(place).expanduser().is_dir():
        return (_existing(place, "styles"),)
    found = below(Path(place).expanduser())
    if not found:
        raise UserError(f"data.styles {place} holds no pictures.")
    return tuple(map(str, found))


def _existing(file: str, option: str) -> str:
    """The path of a picture, which can be read."""
    path = Path(file).expanduser()
    if not path.is_file():
        raise UserError(f"data.{option} {path}: there is no such picture.")
    images.read_image(path)
    return str(path)


def embedded(name: str) -> str:
    """The path of a picture inside a package."""
    for package, folder in (("skimage", "data"), ("sklearn", "datasets/images")):
        # Not imported, which takes a second.
        (root,) = importlib.util.find_spec(package).submodule_search_locations
        if (path := Path(root) / folder / name).is_file():
            return str(path)
    raise UserError(f"neither scikit-image nor scikit-learn has {name}: set data.dir.")


def _dataset(train: Split, test: Split) -> Dataset:
    """Normalized as most weights expect, until those of a run say how."""
    return Dataset(
        splits={"train": train, "test": test},
        classes=(),
        image_shape=train.image_shape,
        mean=IMAGENET_MEAN[3],
        std=IMAGENET_STD[3],
        label_kind=STYLE.name,
    )
