"""Pictures for TensorBoard, as uint8 arrays (height, width, 3).

Functions that need Matplotlib import it themselves, because the import takes half a
second.
"""

import colorsys
from collections.abc import Sequence
from math import ceil, sqrt
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, UInt8
from PIL import Image, ImageDraw, ImageFont

from cnn_jax.core.names import plain, short, text
from cnn_jax.data import bands

Picture = UInt8[np.ndarray, "height width 3"]
Composed = UInt8[np.ndarray, "whole_height whole_width 3"]
# (height, width, channels), or clips (frames, height, width, channels). Sizes may
# differ, so the type does not name the dimensions.
Images = Sequence[np.ndarray]
MOST_FRAMES = 16


def grid(images: Images, cell: int = 96) -> Composed:
    """Returns one picture with all images in a grid, with a thin border between them.

    A clip is a row of frames from left to right. Small images are enlarged to at most
    `cell` pixels by repeating each pixel a whole number of times. So the picture shows
    exactly the pixels that the network gets.

    Args:
      images: images or clips with 1 or 3 channels.
      cell: the longer side of an enlarged image, in pixels.
    """
    return _arranged([_strip(image, cell) for image in images], _frames(images))


def labeled_grid(images: Images, labels: Sequence[str], cell: int = 128) -> Composed:
    """Returns a picture as `grid` does, with one line of text under each image.

    The end of a text that is wider than its image is cut off.
    """
    font = ImageFont.load_default(size=12)
    cells = []
    for image, label in zip(images, map(text, labels), strict=True):
        picture = Image.fromarray(_strip(image, cell))
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
    return _arranged(cells, _frames(images))


def _frames(images: Images) -> int:
    """Returns the greatest number of images that stand side by side in one cell.

    This is 1 for images. For clips, it is the number of frames that are shown.
    """
    return max(len(_shown(len(i))) if i.ndim == 4 else 1 for i in images)


def _shown(frames: int) -> list[int]:
    """Returns the indices of the frames of a clip (slices of a volume) to show.

    If the clip has more than `MOST_FRAMES` frames, the clip is divided into
    `MOST_FRAMES` equal parts, and the middle frame of each part is shown.
    """
    count = min(frames, MOST_FRAMES)
    return [(2 * i + 1) * frames // (2 * count) for i in range(count)]


def _arranged(cells: Sequence[np.ndarray], wide: int) -> Composed:
    """Returns one picture with the cells in a grid.

    Args:
      cells: pictures of any sizes.
      wide: the number of images side by side in a cell. The number of columns is chosen
        so that the grid is about square.
    """
    columns = ceil(sqrt(len(cells) / wide))
    height, width = (max(c.shape[axis] for c in cells) + 2 for axis in (0, 1))
    rows = ceil(len(cells) / columns)
    canvas = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for number, picture in enumerate(cells):
        top, left = number // columns * height + 1, number % columns * width + 1
        canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


def _strip(image: np.ndarray, cell: int) -> Picture:
    """Returns an enlarged image, or the enlarged frames of a clip from left to right.

    Args:
      image: an image (height, width, channels) or a clip, whose first dimension is the
        frame.
      cell: the longer side of an enlarged image, in pixels.
    """
    if image.ndim == 3:
        return np.asarray(_enlarged(image, cell))
    frames = [np.asarray(_enlarged(image[i], cell)) for i in _shown(len(image))]
    gap = np.full((len(frames[0]), 1, 3), 255, np.uint8)
    parts = [part for frame in frames for part in (gap, frame)]
    return np.concatenate(parts[1:], axis=1)


def _enlarged(image: np.ndarray, cell: int) -> Image.Image:
    """Returns the image in RGB, enlarged by a whole factor.

    The longer side has at most `cell` pixels, unless the image is already larger.
    """
    picture = Image.fromarray(bands.shown(image))
    factor = max(cell // max(picture.size), 1)
    return picture.resize(
        (picture.width * factor, picture.height * factor), Image.Resampling.NEAREST
    )


def _palette() -> UInt8[np.ndarray, "256 3"]:
    """Returns the colors of PASCAL VOC for classes (Everingham et al. 2010).

    The bits of the class index, from the lowest, become bits of red, green and blue in
    turn. The first three bits become the highest bits of the colors, and so on. Class 0
    is black, and class 255 is nearly white.
    """
    left = np.arange(256)
    colors = np.zeros((256, 3), np.int64)
    for bit in range(7, -1, -1):
        for channel in range(3):
            colors[:, channel] |= (left >> channel & 1) << bit
        left >>= 3
    return colors.astype(np.uint8)


PALETTE = _palette()


def colored(labels: Integer[np.ndarray, "height width"]) -> Picture:
    """Returns a picture in which each pixel has the color of its class in `PALETTE`."""
    return PALETTE[labels.astype(np.int64) % len(PALETTE)]


def with_legend(picture: Picture, classes: Sequence[str]) -> Composed:
    """Returns the picture above a legend with the color of each class."""
    font, row = ImageFont.load_default(size=12), 20
    classes = [short(name) for name in classes]
    spaces = [int(font.getlength(name)) + 34 for name in classes]
    places, x, y = [], 0, 0
    for space in spaces:
        if x and x + space > picture.shape[1]:
            x, y = 0, y + row
        places.append((x, y))
        x += space
    width = max(picture.shape[1], *spaces)
    legend = Image.new("RGB", (width, y + row), "white")
    draw = ImageDraw.Draw(legend)
    for number, (name, (x, y)) in enumerate(zip(classes, places, strict=True)):
        color = tuple(PALETTE[number % len(PALETTE)].tolist())
        draw.rectangle((x + 4, y + 3, x + 17, y + 16), color, "black")
        draw.text((x + 22, y + 3), name, "black", font)
    padded = np.pad(
        picture, [(0, 0), (0, width - picture.shape[1]), (0, 0)], constant_values=255
    )
    return np.concatenate([padded, np.asarray(legend)])


def compared(
    images: Images, pairs: Sequence[tuple[int, int]], labels: Sequence[str]
) -> Composed:
    """Returns a picture of pairs of images, the two images of a pair side by side.

    Args:
      images: the images.
      pairs: the indices in `images` of the two images of each pair.
      labels: the text under each pair.
    """
    return labeled_grid(
        [np.stack([images[first], images[second]]) for first, second in pairs], labels
    )


def with_boxes(
    image: UInt8[np.ndarray, "height width channels"],
    rows: Float[np.ndarray, "boxes columns"],
    classes: Sequence[str],
    cell: int = 480,
) -> Composed:
    """Returns the image with boxes and class names; each class has its own color.

    A name is above its box or, if there is no room above the box, inside the box.

    Args:
      image: the image.
      rows: the boxes, as (class, top, left, bottom, right) in pixels of the image, or
        (class, top, left, bottom, right, score). Rows with the class -1 are padding. A
        row with the class -2 - c is a difficult object or a crowd of class c; its name
        is in brackets. The first box is drawn on top of all other boxes.
      classes: the names of the classes.
      cell: a small image is enlarged by a whole factor; its longer side then has at
        most this number of pixels.
    """
    picture, font = _enlarged(image, cell), ImageFont.load_default(size=12)
    factor = picture.width // image.shape[1]
    draw = ImageDraw.Draw(picture)
    labels = []
    for kind, *sides in rows[rows[:, 0] != -1][::-1].tolist():
        index = int(kind if kind >= 0 else -2 - kind)
        color, name = _bright(index), short(classes[index])
        top, left, bottom, right = (round(side * factor) for side in sides[:4])
        # The last row and column that the box covers; at least the first.
        bottom, right = max(bottom - 1, top), max(right - 1, left)
        draw.rectangle((left, top, right, bottom), None, color, 2)
        text = name if kind >= 0 else f"({name})"
        if len(sides) > 4:
            text += f" {sides[4]:.2f}"
        labels.append((top, left, text, color))
    height = 16
    for top, left, text, color in labels:  # after the boxes: no line crosses a name
        width = round(font.getlength(text)) + 4
        y = max(top - height if top >= height else top, 0)
        x = max(min(left, picture.width - width), 0)
        draw.rectangle((x, y, x + width - 1, y + height - 1), color)
        draw.text((x + 2, y + 1), text, "black", font)
    return np.asarray(picture)


def _bright(index: int) -> tuple[int, int, int]:
    """Returns a bright RGB color for the class with this index.

    The colors of classes with neighboring indices differ clearly.
    """
    hue = index * 0.618 % 1  # steps of the golden ratio
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.7, 1)
    return round(red * 255), round(green * 255), round(blue * 255)


def confusion_matrix(matrix: np.ndarray, classes: Sequence[str]) -> Picture:
    """Returns a picture of the confusion matrix.

    Rows are labels, and columns are predictions. A cell shows its value; its color
    shows the value as a share of the sum of the row.

    Args:
      matrix: the values of the cells. A pretrained network may have more outputs than
        the data have classes; then the matrix has more columns than rows. The sum of
        these additional columns is shown as one column.
      classes: the names of the classes.
    """
    from matplotlib.figure import Figure

    names, rows = [plain(short(name)) for name in classes], len(classes)
    if matrix.shape[1] > rows:
        others = matrix[:, rows:].sum(axis=1, keepdims=True)
        matrix = np.concatenate([matrix[:, :rows], others], axis=1)
        names.append("other outputs")
    columns = len(names)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    # Long names need room beside the matrix.
    size = max(4.0, 0.4 * columns + 1.5) + 0.1 * max(max(map(len, names)) - 20, 0)
    figure = Figure(figsize=(size, size), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(columns), names, rotation=90)
    axes.set_yticks(range(rows), names[:rows])
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
    return drawn(figure)


def roc_curve(
    far: Float[np.ndarray, " points"],
    tar: Float[np.ndarray, " points"],
    impostors: int,
) -> Picture:
    """Returns a picture of the ROC curve: true accept rate over false accept rate.

    The horizontal axis is logarithmic, and begins at the rate 1 / `impostors`. A false
    accept rate of zero is drawn at this rate.

    Args:
      far: the false accept rates.
      tar: the true accept rates.
      impostors: the number of impostor pairs.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    least = 1 / impostors
    axes.plot(np.maximum(far, least), tar)
    axes.set_xscale("log")
    axes.set_xlim(least, 1)
    axes.set_ylim(0, 1.01)
    axes.set_xlabel("false accept rate")
    axes.set_ylabel("true accept rate")
    axes.grid(alpha=0.4)
    return drawn(figure)


def drawn(figure: Any) -> Picture:
    """Returns the pixels of a Matplotlib figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
