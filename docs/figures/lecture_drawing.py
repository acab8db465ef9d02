"""Panels of the lecture's figures: grids of numbers, pictures, bars and curves."""

import functools
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from cnn_jax.data import digits

BLUE, ORANGE, GREEN, GRAY = "#1f77b4", "#e8710a", "#2a9d58", "#8a8a8a"
COLORS = 128  # of a stored picture, which keeps the files small
DPI = 110


def figure(
    columns: int, rows: int = 1, *, width: float = 2.2, height: float = 2.4, **options
) -> tuple[Figure, np.ndarray]:
    """Returns a figure and its axes, `width` by `height` inches each."""
    made = Figure(figsize=(columns * width, rows * height), layout="constrained")
    made.get_layout_engine().set(h_pad=0.08, w_pad=0.05)
    return made, made.subplots(rows, columns, squeeze=False, **options)


def save(made: Figure, path: Path) -> None:
    """Writes a figure as a PNG file with few colors."""
    buffer = io.BytesIO()
    made.savefig(buffer, dpi=DPI)
    picture = Image.open(buffer).convert("RGB")
    picture.quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)


def picture(
    axes: Axes,
    values: np.ndarray,
    title: str,
    *,
    signed: bool = False,
    limit: float | None = None,
) -> None:
    """Draws a map: gray, or blue below zero and red above it where `signed`.

    `limit` is the largest value of the scale; None is the map's largest value.
    """
    values = np.asarray(values, float)
    limit = limit or float(np.abs(values).max()) or 1.0
    axes.imshow(
        values,
        cmap="RdBu_r" if signed else "gray",
        vmin=-limit if signed else 0,
        vmax=limit,
        interpolation="nearest",
    )
    bare(axes, title)


def numbers(
    axes: Axes,
    values: np.ndarray,
    title: str,
    *,
    boxes: Sequence[tuple[int, int, int, int, str]] = (),
    shade: str = "gray",
    limit: float | None = None,
    digits_after: int = 0,
) -> None:
    """Draws a small matrix with its values.

    `boxes` are (row, column, height, width, color) of rectangles around cells.
    """
    values = np.asarray(values, float)
    rows, columns = values.shape
    limit = limit or float(np.abs(values).max()) or 1.0
    signed = values.min() < 0
    axes.imshow(
        values,
        cmap="RdBu_r" if signed else shade,
        vmin=-1.6 * limit if signed else 0,
        vmax=1.6 * limit if signed else 2.2 * limit,
    )
    for row in range(rows):
        for column in range(columns):
            text = f"{values[row, column]:.{digits_after}f}"
            text = "0" if float(text) == 0 else text
            axes.text(column, row, text, ha="center", va="center", fontsize=9)
    for edge in range(rows + 1):
        axes.axhline(edge - 0.5, color="white", linewidth=1)
    for edge in range(columns + 1):
        axes.axvline(edge - 0.5, color="white", linewidth=1)
    for row, column, height, width, color in boxes:
        corner = (column - 0.5, row - 0.5)
        frame = Rectangle(corner, width, height, fill=False, edgecolor=color)
        frame.set(linewidth=2.4, zorder=3, clip_on=False)
        axes.add_patch(frame)
    bare(axes, title)


def bare(axes: Axes, title: str = "") -> None:
    """Removes ticks and frame, and sets the title."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_frame_on(False)
    axes.set_title(title, fontsize=9)


def plain(axes: Axes, title: str, x: str = "", y: str = "") -> None:
    """Sets the title and the labels of a diagram, with two sides of a frame."""
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def bars(
    axes: Axes,
    values: dict[str, float],
    title: str,
    *,
    color: str | Sequence[str] = BLUE,
    form: str = "{:,.0f}",
) -> None:
    """Draws horizontal bars, the first one on top, with their values."""
    names = list(values)
    drawn = axes.barh(names, list(values.values()), color=color)
    axes.bar_label(
        drawn, [form.format(v) for v in values.values()], padding=3, fontsize=8
    )
    axes.invert_yaxis()
    axes.margins(x=0.28)
    axes.set_xticks([])
    axes.tick_params(labelsize=8, length=0)
    axes.set_title(title, fontsize=9)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


@functools.cache
def all_digits(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the training digits, float32 [n, size, size, 1] in 0..1, and labels."""
    split = digits.load(image_size=size).splits["train"]
    return split.images.astype(np.float32) / 255, split.labels


def digit(label: int, size: int = 16, number: int = 0) -> np.ndarray:
    """Returns one digit, [size, size]: the `number`-th of that label."""
    images, labels = all_digits(size)
    return images[np.flatnonzero(labels == label)[number], :, :, 0]
