"""A data set of one content picture and one style picture."""

from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Side
from cnn_jax.data import images, styles
from cnn_jax.data.dataset import Dataset, into_memory
from cnn_jax.data.source import Source


def load(
    *, file: Place = "", style: Place = "", image_size: tuple[Side, ...] = (256,)
) -> Dataset:
    """Returns one pair of a content picture and a style picture.

    The training split and the test split both have this pair.

    Args:
      file: the content picture; empty: a photograph of a pagoda.
      style: the style picture; empty: a microscope image of tissue.
      image_size: the size of both pictures, a side in pixels or (height, width). Each
        picture is cropped to the largest centered box of this aspect ratio.

    Raises:
      UserError: a file is missing or not a picture.
    """
    content = styles.existing(file, "file") if file else styles.embedded(styles.PAGODA)
    of = styles.existing(style, "style") if style else styles.embedded(styles.TISSUE)
    split = into_memory(styles.Pairs((content,), (of,), images.sides(image_size)))
    return styles.dataset({"train": split, "test": split})


SOURCE = Source("picture_and_style", load, embedded=256)
