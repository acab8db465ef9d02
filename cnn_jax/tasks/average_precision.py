"""The average precision of detections, as COCO computes it (Lin et al. 2014, "Microsoft
COCO: Common Objects in Context")."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from cnn_jax.core import extras

# COCO's `maxDets`: only the best detections of a class in an image count.
MOST = 100


class AveragePrecision(NamedTuple):
    """Average precision: the area under the curve of precision over recall.

    The curve is interpolated at 101 points. A detection is right if its IoU with a
    labeled object is at least the IoU threshold.

    Attributes:
      ap: the mean average precision over the IoU thresholds 0.50, 0.55, ..., 0.95 and
        over the classes that have labeled objects. This is COCO's main number. NaN if
        no class has labeled objects.
      ap50, ap75: the mean average precision over the same classes, at an IoU threshold
        of 0.50 and of 0.75.
      by_class: the average precision of each class at an IoU threshold of 0.50; NaN for
        a class without labeled objects.
    """

    ap: float
    ap50: float
    ap75: float
    by_class: Float[np.ndarray, " classes"]


def average_precision(
    detections: Sequence[np.ndarray], labels: Sequence[np.ndarray], num_classes: int
) -> AveragePrecision:
    """Returns the average precision of detections, computed by pycocotools.

    Args:
      detections: for each image, rows (class, top, left, bottom, right, score) in any
        order; rows with a negative class are padding. The 100 detections of each class
        and image with the best scores are evaluated.
      labels: for each image, rows (class, top, left, bottom, right); rows with the
        class -1 are padding. A row with the class -2 - c is an object of class c that
        the network need not find (COCO's crowds). Detections that match such an object
        count neither as right nor as wrong. A detection matches it if the share of the
        detection's area inside of the object is at least the IoU threshold.
      num_classes: the number of classes, including classes without labeled objects.
    """
    truth, found = [], []
    for image, (rows, marked) in enumerate(zip(detections, labels, strict=True)):
        for row in np.asarray(rows, np.float64):
            if row[0] >= 0:
                found.append(_entry(image, row[0], row[1:5]) | {"score": row[5]})
        for row in np.asarray(marked, np.float64):
            if row[0] >= 0:
                truth.append(_entry(image, row[0], row[1:5]))
            elif row[0] < -1:
                entry = _entry(image, -2 - row[0], row[1:5])
                truth.append(entry | {"iscrowd": 1})
    library = extras.need("pycocotools.cocoeval", "detection", "average precision")
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = library.COCOeval(
            _coco(truth, len(labels), num_classes),
            _coco(found, len(labels), num_classes),
            "bbox",
        )
        evaluation.params.areaRng = evaluation.params.areaRng[:1]  # of any size
        evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:1]
        evaluation.params.maxDets = [MOST]
        evaluation.evaluate()
        evaluation.accumulate()
    # [IoU thresholds, recalls, classes]; -1 for classes without an object.
    precision = evaluation.eval["precision"][..., 0, 0]
    precision = np.where(precision < 0, np.nan, precision).mean(1)
    return AveragePrecision(
        _mean(precision), _mean(precision[0]), _mean(precision[5]), precision[0]
    )


def _entry(image: int, kind: float, box: np.ndarray) -> dict[str, Any]:
    """Returns one box as an annotation in COCO's format.

    Args:
      image: the index of the image.
      kind: the index of the class.
      box: top, left, bottom and right in pixels.
    """
    top, left, bottom, right = box.tolist()
    height, width = bottom - top, right - left
    return {
        "image_id": image,
        "category_id": int(kind),
        "bbox": [left, top, width, height],
        "area": height * width,
        "iscrowd": 0,
    }


def _coco(entries: list[dict[str, Any]], images: int, num_classes: int) -> Any:
    """Returns a `pycocotools.coco.COCO` object with the annotations.

    Args:
      entries: annotations made by `_entry`.
      images: the number of images.
      num_classes: the number of classes.
    """
    coco = extras.need("pycocotools.coco", "detection", "average precision").COCO()
    coco.dataset = {
        "images": [{"id": image} for image in range(images)],
        "categories": [{"id": kind} for kind in range(num_classes)],
        # pycocotools takes an annotation with the id 0 for no match.
        "annotations": [entry | {"id": i} for i, entry in enumerate(entries, start=1)],
    }
    coco.createIndex()
    return coco


def _mean(values: np.ndarray) -> float:
    """Returns the mean of the values that are not NaN; NaN if all values are NaN."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
