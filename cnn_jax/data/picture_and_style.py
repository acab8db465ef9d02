"""One picture beside the one whose style it is to have."""

from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Side
from cnn_jax.data import images, styles
from cnn_jax.data.dataset import Dataset, into_memory
from cnn_jax.data.source import Source


def load(
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
    content = styles.existing(file, "file") if file else styles.embedded(styles.PAGODA)
    of = styles.existing(style, "style") if style else styles.embedded(styles.TISSUE)
    split = into_memory(styles.Pairs((content,), (of,), images.sides(image_size)))
    return styles.dataset(split, split)


SOURCE = Source("picture_and_style", load, embedded=256)
