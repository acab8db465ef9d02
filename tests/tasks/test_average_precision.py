"""Average precision by hand, and beside pycocotools on its own files."""

import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cnn_jax.tasks.average_precision import average_precision

NOTHING = (-1, 0, 0, 0, 0, 0)
NO_ROWS = np.zeros((0, 6))


def test_by_hand(capsys):
    """Four objects of one class; in the order of their scores, the first detection is
    exact, the second wrong, the third right up to an IoU of 0.6, the last wrong."""
    labels = [
        np.array([(0, 0, 0, 10, 10), (0, 20, 20, 30, 30), (-1, 0, 0, 0, 0)]),
        np.array([(0, 5, 5, 9, 9), (0, 40, 0, 50, 8)]),
        np.zeros((0, 5)),
    ]
    detections = [
        np.array([(0, 20, 20, 26.2, 30, 0.5), (0, 0, 0, 10, 10, 0.9), NOTHING]),
        np.array([(0, 0, 40, 10, 48, 0.2), NOTHING]),
        np.array([(0, 1, 1, 5, 5, 0.7)]),  # where nothing is
    ]
    found = average_precision(detections, labels, 1)
    # Precision 1 up to a recall of 1/4 (26 of 101 points), 2/3 up to 2/4 (25 points)
    # at the thresholds of 0.50, 0.55 and 0.60, and 0 beyond.
    few, more = 26 / 101, (26 + 25 * 2 / 3) / 101
    assert found.ap50 == pytest.approx(more)
    assert found.ap75 == pytest.approx(few)
    assert found.ap == pytest.approx((3 * more + 7 * few) / 10)
    assert found.by_class == pytest.approx([more])
    assert capsys.readouterr().out == ""


def test_classes_apart():
    """A box of the wrong class is no detection; a class that occurs nowhere has no
    average precision, and that of the others is not changed."""
    labels = [np.array([(0, 0, 0, 8, 8), (1, 10, 10, 20, 20)])]
    detections = [np.array([(1, 10, 10, 20, 20, 0.5), (2, 0, 0, 8, 8, 0.9)])]
    found = average_precision(detections, labels, 4)
    np.testing.assert_allclose(found.by_class, [0, 1, np.nan, np.nan])
    assert found[:3] == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.parametrize("rows", [NO_ROWS, np.array([(0, 0, 0, 5, 5, 0.5)])])
def test_without_any_object(rows):
    found = average_precision([rows] * 2, [np.array([(-1, 0, 0, 0, 0)])] * 2, 2)
    assert np.isnan(found[:3]).all() and np.isnan(found.by_class).all()


def test_without_any_detection():
    labels = [np.array([(1, 0, 0, 8, 8)])]
    found = average_precision([np.array([NOTHING])], labels, 2)
    assert found[:3] == (0, 0, 0)
    np.testing.assert_array_equal(found.by_class, [np.nan, 0])


def test_exempt_objects_count_neither_way():
    labels = [np.array([(0, 0, 0, 8, 8), (-2, 20, 20, 40, 40)])]
    found, others = (0, 0, 0, 8, 8, 0.5), (0, 20, 20, 40, 40, 0.9)
    inside = (0, 22, 22, 30, 30, 0.8)
    for rows in ([found], [found, others], [found, others, inside]):
        assert average_precision([np.array(rows)], labels, 1).ap == pytest.approx(1)
    # As an object of another class it is exempt from nothing of this one.
    labels[0][1, 0] = -3
    wrong = average_precision([np.array([found, others])], labels, 2)
    assert wrong.by_class[0] == pytest.approx(0.5)


def random_case(seed):
    """Detections near the objects and elsewhere, of some classes, for some images."""
    rng = np.random.default_rng(seed)
    detections, labels = [], []
    for _ in range(8):
        corner = rng.uniform(0, 60, (rng.integers(0, 5), 2))
        boxes = np.concatenate([corner, corner + rng.uniform(5, 40, corner.shape)], 1)
        kinds = rng.integers(0, 3, len(boxes))
        exempt = rng.random(len(boxes)) < 0.2
        labels.append(np.column_stack([np.where(exempt, -2 - kinds, kinds), boxes]))
        near = boxes + rng.normal(0, 2, boxes.shape)
        kinds = np.where(rng.random(len(boxes)) < 0.8, kinds, 3)
        rows = np.column_stack([kinds, near, rng.random(len(boxes))])
        far = np.array([(rng.integers(3), 70, 70, 90, 95, rng.random())])
        rows = np.concatenate([rows, far])
        detections.append(np.concatenate([rows, [NOTHING]]))
    return detections, labels


@pytest.mark.parametrize("seed", range(5))
def test_pycocotools_on_files(seed, tmp_path):
    detections, labels = random_case(seed)
    annotations, results = [], []
    for image, (rows, marked) in enumerate(zip(detections, labels, strict=True)):
        for kind, *box in marked.tolist():
            annotations.append(as_json(image, box) | {"iscrowd": int(kind < 0)})
            annotations[-1]["category_id"] = int(kind if kind >= 0 else -2 - kind)
            annotations[-1]["id"] = len(annotations)
        for kind, *box, score in rows[:-1].tolist():
            results.append(as_json(image, box) | {"score": score})
            results[-1]["category_id"] = int(kind)
    truth = {
        "images": [{"id": image, "width": 100, "height": 100} for image in range(8)],
        "categories": [{"id": kind, "name": str(kind)} for kind in range(4)],
        "annotations": annotations,
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(results))
    coco = COCO(str(tmp_path / "truth.json"))
    evaluation = COCOeval(coco, coco.loadRes(str(tmp_path / "results.json")), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()

    found = average_precision(detections, labels, 4)
    assert 0.05 < found.ap < 0.95
    np.testing.assert_allclose(found[:3], evaluation.stats[:3], rtol=1e-12)


def as_json(image, box):
    top, left, bottom, right = box
    size = [right - left, bottom - top]
    return {"image_id": image, "bbox": [left, top, *size], "area": size[0] * size[1]}


def test_one_row_of_labels_for_each_image():
    with pytest.raises(ValueError):
        average_precision([NO_ROWS], [], 1)
