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
    """Areas under the curves of precision over recall, interpolated at 101 points.

    A class without labeled objects has NaN, and so has a mean over no classes.

    Attributes:
      ap: the mean over IoU thresholds (0.50 to 0.95 in steps of 0.05) and over the
        classes that occur. A detection is right from the threshold on. This is COCO's
        main number.
      ap50, ap75: the mean over the classes at an IoU threshold of 0.50 and of 0.75.
      by_class: the average precision of each class at an IoU threshold of 0.50.
    """

    ap: float
    ap50: float
    ap75: float
    by_class: Float[np.ndarray, " classes"]


def average_precision(
    detections: Sequence[np.ndarray], labels: Sequence[np.ndarray], num_classes: int
) -> AveragePrecision:
    """Returns the average precision of detections in some images, by pycocotools.

    Args:
      detections: for each image rows (class, top, left, bottom, right, score) in any
        order; rows of a negative class are padding. The best 100 of a class count.
      labels: for each image rows (class, top, left, bottom, right); rows of the class
        -1 are padding. A row of the class -2 - c marks an object of class c that need
        not be found: any number of detections may match it, and these count neither as
        right nor as wrong (COCO's crowds: the share of the detection that lies inside
        takes the place of IoU).
      num_classes: the number of classes; some of them may occur nowhere.
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
    """Returns COCO's annotation of one box."""
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
    """Returns the entries as an index of pycocotools."""
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
