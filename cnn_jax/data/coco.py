"""The user's pictures with boxes around objects, in the format of COCO."""

from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import Place
from cnn_jax.core.ranges import Channels, Side
from cnn_jax.data import annotations, objects
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.folder import existing
from cnn_jax.data.source import Source
from cnn_jax.data.subset import STORED, Stored
from cnn_jax.data.walk import check_apart


def load(
    stored: Stored = STORED,
    *,
    dir: Place = "",
    image_size: tuple[Side, ...] = (256,),
    channels: Channels = 3,
    train_split: str = "train2017",
    test_split: str = "val2017",
) -> Dataset:
    """Returns the pictures in `dir/<split>`, with boxes in COCO's format.

    The boxes are in `dir/annotations/instances_<split>.json`. Pictures and their boxes
    are stretched to `image_size`.

    Args:
      stored, dir, image_size, channels: see `voc.load`.
      train_split, test_split: the names of the splits, which replace `<split>` in the
        paths above.

    Raises:
      UserError: see `annotations.coco`; also if the splits have different classes, a
        picture is in both splits, a split has no boxes, or the size of a picture
        differs from the size in its annotation.
    """
    root = existing(dir)
    named = {"train": train_split, "test": test_split}
    if val := stored.own(None):
        named["val"] = val
    parts = {
        role: annotations.coco(root / "annotations" / f"instances_{s}.json", root / s)
        for role, s in named.items()
    }
    for role, part in parts.items():
        if part.classes != parts["train"].classes:
            raise UserError(
                f"the splits '{train_split}' and '{named[role]}' of {dir} have "
                "different classes: write the same 'categories' into both annotation "
                "files."
            )
    check_apart({role: part.paths for role, part in parts.items()}, named)
    return objects.with_boxes(parts, image_size, channels, stored, root)


SOURCE = Source("coco", load, takes=Stored, stand_in=objects.SCENES)
