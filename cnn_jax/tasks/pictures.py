"""Pictures for TensorBoard, as uint8 arrays (height, width, 3)."""

from collections.abc import Sequence
from math import ceil, sqrt

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

Picture = UInt8[np.ndarray, "height width 3"]


def grid(images: Sequence[np.ndarray], cell: int = 96) -> Picture:
    """Images (height, width, 1 or 3), uint8, side by side with a thin border.

    Small ones are enlarged by a whole factor to about `cell` pixels, pixel by
    pixel, so that what the network sees is what is shown.
    """
    cells = [np.asarray(_enlarged(image, cell)) for image in images]
    columns = ceil(sqrt(len(cells)))
    height, width = (max(c.shape[axis] for c in cells) + 2 for axis in (0, 1))
    rows = ceil(len(cells) / columns)
    canvas = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for number, picture in enumerate(cells):
        top, left = number // columns * height + 1, number % columns * width + 1
        canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


def labelled_grid(
    images: Sequence[np.ndarray], labels: Sequence[str], cell: int = 128
) -> Picture:
    """`grid` with a line of text under each image, cut to its width."""
    font = ImageFont.load_default(size=12)
    cells = []
    for image, label in zip(images, labels, strict=True):
        picture = _enlarged(image, cell)
        card = Image.new(
            "RGB", (max(picture.width, cell), picture.height + 18), "white"
        )
        card.paste(picture, ((card.width - picture.width) // 2, 0))
        while label and font.getlength(label) > card.width:
            label = label[:-1]
        ImageDraw.Draw(card).text(
            (card.width / 2, picture.height + 2), label, "black", font, anchor="ma"
        )
        cells.append(np.asarray(card))
    return grid(cells, cell=1)


def _enlarged(image: np.ndarray, cell: int) -> Image.Image:
    if image.shape[-1] == 1:
        image = image[..., 0]
    picture = Image.fromarray(image).convert("RGB")
    factor = max(cell // max(picture.size), 1)
    return picture.resize(
        (picture.width * factor, picture.height * factor), Image.Resampling.NEAREST
    )


def confusion_matrix(matrix: np.ndarray, classes: Sequence[str]) -> Picture:
    """Counts by label (row) and prediction (column), coloured by the row's share.

    Outputs of the network beyond the classes, of which there may be a thousand, are one
    column together.
    """
    # Here and not above: Matplotlib takes half a second to import.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names, rows = [*classes], len(classes)
    if matrix.shape[1] > rows:
        others = matrix[:, rows:].sum(axis=1, keepdims=True)
        matrix = np.concatenate([matrix[:, :rows], others], axis=1)
        names.append("other outputs")
    columns = len(names)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    size = max(4.0, 0.4 * columns + 1.5)
    figure = Figure(figsize=(size, size), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(columns), names, rotation=90)
    axes.set_yticks(range(rows), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    for row, column in zip(*np.nonzero(matrix), strict=True):
        axes.text(
            column,
            row,
            f"{matrix[row, column]:.0f}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if share[row, column] > 0.5 else "black",
        )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
