"""Pictures with boxes, as COCO has them."""

import json

import numpy as np

from cnn_jax import data


def test_coco(tmp_path, write):
    root = tmp_path / "coco"
    for split, count in (("train2017", 3), ("val2017", 1)):
        entries = {"images": [], "annotations": []}
        entries["categories"] = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]
        for i in range(count):
            write(root / split / f"{i}.jpg", size=(40, 20))
            image = {"id": i, "file_name": f"{i}.jpg", "width": 40, "height": 20}
            entries["images"].append(image)
            box = {"id": i, "image_id": i, "category_id": 7, "bbox": [10, 4, 10, 6]}
            entries["annotations"].append(box | {"iscrowd": 0, "area": 60})
        path = root / "annotations" / f"instances_{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(entries))
    dataset = data.load("coco", dir=str(root), image_size=(20, 40))
    assert set(dataset.classes) == {"cat", "dog"}
    row = dataset.splits["train"].labels[0, 0]
    assert dataset.classes[int(row[0])] == "cat"
    np.testing.assert_allclose(row[1:], [4, 10, 10, 20])
