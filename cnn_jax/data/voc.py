"""The user's pictures with boxes around objects, in the format of Pascal VOC."""

from cnn_jax.core import names
from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Channels, Fraction, Side
from cnn_jax.data import annotations, objects
from cnn_jax.data.boxes import Annotations
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.folder import existing
from cnn_jax.data.source import Source
from cnn_jax.data.subset import STORED, Stored
from cnn_jax.data.walk import check_apart

VAL = "val"
APART = ("train", "test")  # splits that have no pictures of the split "val"


def load(
    stored: Stored = STORED,
    *,
    dir: Place = "",
    image_size: tuple[Side, ...] = (256,),
    channels: Channels = 3,
    train_split: str = "trainval",
    test_split: str = "test",
    test_fraction: Fraction = 0.2,
) -> Dataset:
    """Returns the pictures and boxes of a folder in the format of Pascal VOC.

    `annotations.pascal_voc` describes the format. Pictures and their boxes are
    stretched to `image_size`.

    Args:
      stored: how many pictures are used, and whether they are held in memory.
      dir: the folder.
      image_size: a side in pixels, or (height, width).
      channels: 3 for RGB, 1 for gray.
      train_split, test_split: the names of the files with picture names in the folder's
        `ImageSets/Main`, without ".txt".
      test_fraction: the share of the pictures that is for testing, if `ImageSets/Main`
        has no such files. The choice depends only on the file names.

    Raises:
      UserError: see `annotations.pascal_voc`; also if a split does not exist, a picture
        is in both splits, a split has no boxes, or the size of a picture differs from
        the size in its annotation.
    """
    root = existing(dir)
    named = {"train": train_split, "test": test_split}
    listed = (root / "ImageSets" / "Main" / f"{VAL}.txt").is_file()
    if val := stored.own(
        VAL if listed and (train_split, test_split) == APART else None
    ):
        named["val"] = val
    found = annotations.pascal_voc(root, splits=tuple(named.values()))
    if set(found) == {"all"}:
        if "val" in named:
            raise UserError(
                f"config.data.val='{val}' names a split, and {root} has no lists of "
                "splits in ImageSets/Main: set it to a number of pictures or a share."
            )
        parts = _divided(found["all"], test_fraction)
    else:
        parts = {role: found[name] for role, name in named.items()}
    check_apart({role: part.paths for role, part in parts.items()}, named)
    return objects.with_boxes(parts, image_size, channels, stored, root)


SOURCE = Source("voc", load, takes=Stored, stand_in=objects.SCENES)


def _divided(known: Annotations, fraction: float) -> dict[str, Annotations]:
    """Divides pictures into training and test pictures, by a hash of their names.

    Args:
      known: the paths and the boxes of all pictures.
      fraction: the share of the pictures that is for testing.
    """
    order = sorted(
        range(len(known.paths)),
        key=lambda i: names.digest(known.paths[i]),
    )
    count = max(1, round(len(order) * fraction))
    if count >= len(order):
        raise UserError(
            "there are too few pictures, so no picture is left to train on: add "
            "pictures, or set data.test_fraction lower."
        )
    test, train = (
        Annotations(
            paths=tuple(known.paths[i] for i in part),
            sizes=known.sizes[part],
            boxes=tuple(known.boxes[i] for i in part),
            exempt=tuple(known.exempt[i] for i in part),
            classes=known.classes,
        )
        for part in (sorted(order[:count]), sorted(order[count:]))
    )
    return {"train": train, "test": test}
