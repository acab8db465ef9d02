"""Makes fcos.npz; see README.md. Needs PyTorch and torchvision.

python tests/tasks/golden/make.py
"""

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
SIZE, STRIDES, CLASSES = (120, 160), (8, 16, 32, 64, 128), 3


def places() -> list[tuple[float, float, int]]:
    """(y, x, stride) of every place."""
    return [
        ((row + 0.5) * stride, (column + 0.5) * stride, stride)
        for stride in STRIDES
        for row in range(-(-SIZE[0] // stride))
        for column in range(-(-SIZE[1] // stride))
    ]


def outputs() -> dict[str, np.ndarray]:
    """Returns random outputs of a detector's heads for three images."""
    rng = np.random.default_rng(0)
    strides = np.array([stride for *_, stride in places()])[:, None]
    count = len(strides)
    return {
        "logits": rng.normal(-2, 2, (3, count, CLASSES)).astype(np.float32),
        "distances": (rng.uniform(0, 8, (3, count, 4)) * strides).astype(np.float32),
        "centerness": rng.normal(0, 1, (3, count)).astype(np.float32),
    }


def labels() -> np.ndarray:
    """Rows (class, top, left, bottom, right): of many boxes, some, and none."""
    rng = np.random.default_rng(1)
    rows = np.full((3, 12, 5), (-1.0, 0, 0, 0, 0), np.float32)
    for image, count in enumerate((12, 5, 0)):
        for row in rows[image, :count]:
            sides = rng.uniform(6, SIZE)
            corner = rng.uniform(0, SIZE - sides)
            row[:] = rng.integers(CLASSES), *corner, *(corner + sides)
    return rows


def main() -> None:
    import torch
    from torchvision.models import detection

    model = detection.fcos_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=CLASSES
    )
    y, x, stride = torch.tensor(places()).T
    anchors = torch.stack(
        [x - stride / 2, y - stride / 2, x + stride / 2, y + stride / 2], 1
    )
    given = {key: torch.from_numpy(value) for key, value in outputs().items()}
    heads = {
        "cls_logits": given["logits"],
        # Left, top, right, bottom, in strides.
        "bbox_regression": given["distances"][..., [1, 0, 3, 2]] / stride[:, None],
        "bbox_ctrness": given["centerness"][..., None],
    }
    targets = []
    for rows in torch.from_numpy(labels()):
        rows = rows[rows[:, 0] >= 0]
        boxes = rows[:, [2, 1, 4, 3]]
        targets.append({"boxes": boxes, "labels": rows[:, 0].long()})
    matches = []
    of_head = model.head.compute_loss

    def compute_loss(targets, heads, anchors, matched):
        matches.extend(matched)
        return of_head(targets, heads, anchors, matched)

    model.head.compute_loss = compute_loss
    found = model.compute_loss(
        targets, heads, [anchors] * 3, [int((stride == s).sum()) for s in STRIDES]
    )
    np.savez_compressed(
        FOLDER / "fcos.npz",
        matches=torch.stack(matches).numpy().astype(np.int8),
        classification=found["classification"].numpy(),
        box=found["bbox_regression"].numpy(),
        centerness=found["bbox_ctrness"].numpy(),
    )
    print(found, [int((match >= 0).sum()) for match in matches])


if __name__ == "__main__":
    main()
