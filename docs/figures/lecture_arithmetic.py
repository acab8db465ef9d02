"""The lecture's figures of convolution, its arithmetic and its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
from lecture_drawing import (
    BLUE,
    GREEN,
    ORANGE,
    bare,
    digit,
    figure,
    numbers,
    picture,
    plain,
)
from matplotlib.figure import Figure
from sklearn.datasets import load_sample_image

from cnn_jax import layers
from cnn_jax.layers import arithmetic

# The lecture's matrix and its filter of vertical edges.
MATRIX = np.array(
    [
        [3, 0, 1, 2, 7, 4],
        [1, 5, 8, 9, 3, 1],
        [2, 7, 2, 5, 1, 3],
        [0, 1, 3, 1, 7, 8],
        [4, 2, 1, 6, 2, 8],
        [2, 4, 5, 2, 3, 9],
    ]
)
EDGE = layers.FILTERS["edge_vertical"]
POOLED = np.array([[1, 4, 6, 3], [1, 8, 9, 7], [2, 9, 1, 2], [3, 4, 4, 3]])


def convolved(image: np.ndarray, kernel: np.ndarray, **attributes) -> np.ndarray:
    """Returns the convolution of one map with one filter, by `layers.Conv`."""
    conv = layers.Conv(1, kernel.shape, use_bias=False, **attributes)
    params = {"kernel": jnp.asarray(kernel, jnp.float32)[:, :, None, None]}
    x = jnp.asarray(image, jnp.float32)[None, :, :, None]
    return np.asarray(conv.apply({"params": params}, x))[0, :, :, 0]


def convolution() -> Figure:
    """The lecture's example, with two windows and their two outputs."""
    made, ((left, middle, right),) = figure(3, width=2.6)
    windows = [(0, 0, 3, 3, ORANGE), (3, 3, 3, 3, GREEN)]
    numbers(left, MATRIX, "input, 6x6", boxes=windows)
    numbers(middle, EDGE, "filter, 3x3")
    outputs = [(0, 0, 1, 1, ORANGE), (3, 3, 1, 1, GREEN)]
    numbers(right, convolved(MATRIX, EDGE, padding=0), "output, 4x4", boxes=outputs)
    return made


def padding_and_stride() -> Figure:
    """A digit through five layers, without and with padding; sizes by stride."""
    made, axes = figure(6, 2, width=1.55, height=1.75)
    box = np.full((3, 3), 1 / 9)
    for row, padding in zip(axes, (0, 1), strict=True):
        maps = digit(3)
        for layer, panel in enumerate(row):
            size = len(maps)
            title = f"layer {layer}: {size}x{size}" if layer else "input: 16x16"
            picture(panel, maps, title, limit=1.0)
            panel.set_xlim(-0.5, 15.5)
            panel.set_ylim(15.5, -0.5)
            maps = convolved(maps, box, padding=padding)
        row[0].set_ylabel(f"padding {padding}", fontsize=9)
    return made


def sizes() -> Figure:
    """The output's size for each input size, by padding and stride."""
    made, ((axes,),) = figure(1, width=5.4, height=3.0)
    inputs = np.arange(3, 33)
    for (padding, stride), color in {
        (1, 1): BLUE,
        (0, 1): ORANGE,
        (1, 2): GREEN,
        (0, 3): "black",
    }.items():
        outputs = [
            arithmetic.output_size(int(n), 3, stride=stride, padding=padding)
            for n in inputs
        ]
        label = f"padding {padding}, stride {stride}"
        axes.step(inputs, outputs, where="post", color=color, label=label)
    axes.legend(fontsize=8, frameon=False)
    plain(axes, "a 3x3 kernel", "input size", "output size")
    return made


def channels() -> Figure:
    """A photograph, its three channels and the maps of two filters over all three."""
    photo = load_sample_image("flower.jpg")[40:360, 120:520]
    photo = photo[::4, ::4].astype(np.float32) / 255
    even = np.full((3, 3), 1 / 9)
    red = np.stack([even, -even / 2, -even / 2], axis=-1)
    edges = np.stack([EDGE / 9] * 3, axis=-1)
    kernel = jnp.asarray(np.stack([red, edges], axis=-1), jnp.float32)
    conv = layers.Conv(features=2, kernel_size=3, padding=0, use_bias=False)
    y = conv.apply({"params": {"kernel": kernel}}, jnp.asarray(photo)[None])[0]
    made, axes = figure(3, 2, width=2.3, height=2.1)
    whole, red_map, edge_map, *parts = axes.flat
    whole.imshow(photo)
    bare(whole, "input, 80x100x3")
    for panel, name, channel in zip(
        parts, ("red", "green", "blue"), np.moveaxis(photo, -1, 0), strict=True
    ):
        picture(panel, channel, f"channel {name}", limit=1.0)
    picture(red_map, y[:, :, 0], "map of filter 1: red", signed=True)
    picture(edge_map, y[:, :, 1], "map of filter 2: edges", signed=True)
    return made


def filters() -> Figure:
    """Hand-made filters over a digit."""
    image = jnp.asarray(digit(4, 32))[:, :, None]
    made, axes = figure(5, width=1.75, height=2.0)
    row = axes[0]
    picture(row[0], image[:, :, 0], "digit, 32x32")
    for panel, name in zip(
        row[1:], ("sobel_vertical", "sobel_horizontal", "laplacian4"), strict=False
    ):
        response = layers.apply_filter(image, name, "edge")[:, :, 0]
        picture(panel, response, name, signed=True)
    strength = layers.gradient_magnitude(image, "sobel", "edge")
    picture(row[4], strength[:, :, 0], "gradient magnitude")
    return made


def matrix_product() -> Figure:
    """The matrix X of the lecture's example at stride 3, and the product."""
    x = jnp.asarray(MATRIX, jnp.float32)[None, :, :, None]
    columns = np.asarray(layers.im2col(x, 3, strides=3, padding=0))[0]
    made, axes = figure(4, width=2.0, height=3.4, width_ratios=[2.6, 0.7, 1.6, 1.6])
    first, weights, matrix, product = axes[0]
    boxes = [
        (0, 0, 3, 3, ORANGE),
        (0, 3, 3, 3, GREEN),
        (3, 0, 3, 3, BLUE),
        (3, 3, 3, 3, "black"),
    ]
    colors = [box[-1] for box in boxes]
    numbers(first, MATRIX, "input, stride 3", boxes=boxes)
    numbers(weights, EDGE.reshape(9, 1), "W, 9x1")
    around = [(0, i, 9, 1, color) for i, color in enumerate(colors)]
    numbers(matrix, columns, "X, 9x4", boxes=around)
    result = EDGE.reshape(1, 9) @ columns
    around = [(0, i, 1, 1, color) for i, color in enumerate(colors)]
    numbers(product, result, "W'X, 1x4", boxes=around)
    return made


def pooling() -> Figure:
    """The lecture's example; a map of edges, and the same moved by one pixel."""
    made, axes = figure(3, 2, width=2.1, height=2.2)
    x = jnp.asarray(POOLED, jnp.float32)[None, :, :, None]
    windows = [
        (0, 0, 2, 2, ORANGE),
        (0, 2, 2, 2, GREEN),
        (2, 0, 2, 2, BLUE),
        (2, 2, 2, 2, "black"),
    ]
    numbers(axes[0, 0], POOLED, "input", boxes=windows)
    outputs = [(r // 2, c // 2, 1, 1, color) for r, c, _, _, color in windows]
    highest = layers.max_pool(x, 2)[0, :, :, 0]
    numbers(axes[0, 1], highest, "max pooling", boxes=outputs)
    mean = layers.avg_pool(x, 2)[0, :, :, 0]
    numbers(axes[0, 2], mean, "average pooling", boxes=outputs, digits_after=2)
    image = jnp.asarray(digit(4, 32))[None, :, :, None]
    edges = layers.gradient_magnitude(image, "sobel", "edge")
    picture(axes[1, 0], edges[0, :, :, 0], "edges of a digit, 32x32")
    picture(axes[1, 1], layers.max_pool(edges, 4)[0, :, :, 0], "max pooling, 4x4")
    picture(axes[1, 2], layers.avg_pool(edges, 4)[0, :, :, 0], "average pooling, 4x4")
    return made


def influence(rates: tuple[int, ...], size: int = 31) -> np.ndarray:
    """Returns on how many paths each input pixel reaches the middle output.

    The layers are 3x3 convolutions with kernels of ones and these dilation rates.
    """

    def middle(x):
        for rate in rates:
            conv = layers.Conv(1, 3, dilation=rate, use_bias=False)
            x = conv.apply({"params": {"kernel": jnp.ones((3, 3, 1, 1))}}, x)
        return x[0, size // 2, size // 2, 0]

    return np.asarray(jax.grad(middle)(jnp.zeros((1, size, size, 1))))[0, :, :, 0]


def dilation() -> Figure:
    """Which pixels reach the middle output through three layers."""
    chosen = [(1, 1, 1), (1, 2, 4), (2, 2, 2), (4, 4, 4)]
    made, axes = figure(4, width=2.1, height=2.4)
    for panel, rates in zip(axes[0], chosen, strict=True):
        paths = influence(rates)
        field = arithmetic.receptive_field([(3, 1, rate) for rate in rates])
        seen = int((paths > 0).sum())
        title = f"rates {', '.join(map(str, rates))}\n{field}x{field}, {seen} pixels"
        picture(panel, np.sqrt(paths), title)
    return made


def backpropagation() -> Figure:
    """A convolution forwards, and both of its gradients."""
    image = digit(3)
    x = jnp.asarray(image)[None, :, :, None]
    kernel = jnp.asarray(EDGE, jnp.float32)[:, :, None, None]
    y = convolved(image, EDGE, padding=0)
    gradient = jnp.zeros((1, *y.shape, 1)).at[0, 3, 3, 0].set(1.0)
    gradient = gradient.at[0, 9, 8, 0].set(-1.0)
    to_input = layers.input_gradient(gradient, kernel, image.shape, padding=0)
    to_kernel = layers.filter_gradient(x, gradient, 3, padding=0)
    made, axes = figure(5, width=1.9, height=2.2)
    row = axes[0]
    picture(row[0], image, "input x, 16x16")
    picture(row[1], y, "output y, 14x14", signed=True)
    picture(row[2], gradient[0, :, :, 0], "dL/dy, 14x14", signed=True)
    picture(row[3], to_input[0, :, :, 0], "dL/dx, 16x16", signed=True)
    numbers(row[4], to_kernel[:, :, 0, 0], "dL/dw, 3x3", digits_after=2)
    return made
