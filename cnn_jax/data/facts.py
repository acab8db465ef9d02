"""The facts of a data set that `core.fit` compares with the rest of a run."""

from collections.abc import Sequence

from cnn_jax.core.fit import Fact, Part
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.splits import ROLES


def part(name: str, dataset: Dataset) -> Part:
    """Returns the data set as a part of a run; see `core.fit.Part`.

    The part states facts such as the label kind, the number of classes and the number
    of examples of each existing split. `core.fit` compares these facts with the
    requirements of the model and the task.

    Args:
      name: the data set's name in errors.
    """
    *space, _ = dataset.image_shape
    label, side, classes = dataset.label_kind, min(space[-2:]), len(dataset.classes)
    gives = {
        "label kind": Fact(label, f"has {dataset.labels.described}"),
        "image rank": Fact(
            len(space), f"has {'images' if len(space) == 2 else 'clips or volumes'}"
        ),
        "shorter side": Fact(side, f"has images with {side} pixels on a side"),
        "image type": Fact(
            str(dataset.image_type), f"has images of the type {dataset.image_type}"
        ),
        "classes": Fact(classes, f"has {classes:,} classes"),
        "mirrorable": Fact(
            dataset.mirrorable, "has labels that are wrong for a mirrored image"
        ),
        "normalized": Fact(
            {*dataset.mean} != {0} or {*dataset.std} != {1},
            f"has images normalized by mean {_short(dataset.mean)} and standard "
            f"deviation {_short(dataset.std)}",
        ),
    }
    for split, use in ROLES.items():
        if split in dataset.splits:
            count = len(dataset.splits[split])
            gives[f"{use} examples"] = Fact(count, f"has {count:,} {use} examples")
    if "train" in dataset.splits:
        gives["class counts"] = Fact(
            bool(dataset.label_statistics.counts),
            "has training examples whose classes are not listed",
        )
        gives["value statistics"] = Fact(
            bool(dataset.label_statistics.mean),
            "has training labels whose mean and standard deviation are not known",
        )
    if len(dataset.label_shape) == len(dataset.image_shape):  # the label is an image
        factor = dataset.label_shape[-3] / dataset.image_shape[-3]
        words = f"has target pictures {factor:g} times as large as the images"
        gives["picture scale"] = Fact(factor, words)
    return Part(name, gives | dict(dataset.gives), dataset.takes)


def _short(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
