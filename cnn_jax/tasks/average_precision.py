"""How good detections are, as COCO counts it (Lin et al. 2014, "Microsoft COCO: Common
Objects in Context")."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from cnn_jax.core import extras

# As in COCO's `maxDets`: of an image and class, the surest detections count.
MOST = 100


class AveragePrecision(NamedTuple):
    """Areas under the curves of precision over recall, interpolated at 101 points.

    NaN is the value of what no labeled object has.

    Attributes:
      ap: mean over the IoU, from 0.50 in steps of 0.05 to 0.95, from which on a
        detection is right, and over the classes that occur. COCO's main number.
      ap50, ap75: mean over the classes at an IoU of 0.50 and of 0.75.
      by_class: at 0.50, of each class.
    """

    ap: float
    ap50: float
    ap75: float
    by_class: Float[np.ndarray, " classes"]


def average_precision(
    detections: Sequence[np.ndarray], labels: Sequence[np.ndarray], num_classes: int
) -> AveragePrecision:
    """The average precision of what was found in some images, by pycocotools.

    Args:
      detections: for each image rows (class, top, left, bottom, right, score) in any
        order; those of negative classes fill up. The best 100 of a class count.
      labels: for each image rows (class, top, left, bottom, right); those of the class
        -1 fill up. With the class -2 - c, an object of class c need not be found:
        detections that match it count neither way, as many as there are (COCO's
        crowds: the share of the detection that lies inside takes the place of IoU).
      num_classes: of which some may occur nowhere.
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
    # [IoU thresholds, recalls, classes]; -1 of classes without an object.
    precision = evaluation.eval["precision"][..., 0, 0]
    precision = np.where(precision < 0, np.nan, precision).mean(1)
    return AveragePrecision(
        _mean(precision), _mean(precision[0]), _mean(precision[5]), precision[0]
    )


def _entry(image: int, kind: float, box: np.ndarray) -> dict[str, Any]:
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
    """Entries as an index of pycocotools."""
    coco = extras.need("pycocotools.coco", "detection", "average precision").COCO()
    coco.dataset = {
        "images": [{"id": image} for image in range(images)],
        "categories": [{"id": kind} for kind in range(num_classes)],
        # An annotation of id 0 would pass as none.
        "annotations": [entry | {"id": i} for i, entry in enumerate(entries, start=1)],
    }
    coco.createIndex()
    return coco


def _mean(values: np.ndarray) -> float:
    """Without those that are NaN; NaN if all are."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
