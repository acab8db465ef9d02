"""The lecture's figures of blocks: what they cost, and what they do to maps."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict
from lecture_drawing import (
    BLUE,
    GRAY,
    ORANGE,
    all_digits,
    bars,
    digit,
    figure,
    picture,
    plain,
)
from matplotlib.figure import Figure

from cnn_jax import layers, models
from cnn_jax.analysis import overview
from cnn_jax.data import moving_digits
from cnn_jax.layers import arithmetic

MILLION = 1e6


def pointwise() -> Figure:
    """Operations of a 5x5 convolution behind a 1x1 convolution to r channels."""
    space, before, after = (28, 28), 192, 32

    def macs(reduced: int) -> float:
        first = arithmetic.conv_macs(space, (1, 1), before, reduced)
        return (first + arithmetic.conv_macs(space, (5, 5), reduced, after)) / MILLION

    direct = arithmetic.conv_macs(space, (5, 5), before, after) / MILLION
    made, ((axes,),) = figure(1, width=5.4, height=2.8)
    channels = np.arange(1, 193)
    axes.plot(channels, [macs(int(r)) for r in channels], color=BLUE)
    axes.axhline(direct, color=ORANGE)
    axes.text(2, direct + 3, f"5x5 alone: {direct:.1f} M", fontsize=8, color=ORANGE)
    axes.plot(16, macs(16), "o", color=BLUE)
    axes.annotate(f"r = 16: {macs(16):.1f} M", (20, macs(16) - 3), fontsize=8)
    plain(axes, "28x28x192 to 28x28x32", "channels r of the 1x1 convolution", "MACs, M")
    axes.set_ylim(0, 160)
    return made


def fire() -> Figure:
    """Parameters of SqueezeNet's fire modules, and of 3x3 convolutions instead."""
    fires: dict[str, int] = {}
    full: dict[str, int] = {}
    channels = 0  # of the map before the module
    for row in overview.published_table("squeezenet1_1"):
        module, _, part = row.name.partition("/")
        if part:
            fires[module] = fires.get(module, 0) + row.parameters
        if part == "expand3x3":
            after = 2 * row.output_shape[-1]
            full[module] = arithmetic.conv_parameters((3, 3), channels, after)
        if part in ("", "expand3x3"):
            channels = row.output_shape[-1] * (2 if part else 1)
    made, ((axes,),) = figure(1, width=6.2, height=2.9)
    place = np.arange(len(fires))
    axes.bar(place - 0.2, fires.values(), 0.38, color=BLUE, label="fire module")
    axes.bar(place + 0.2, full.values(), 0.38, color=GRAY, label="3x3 convolution")
    for i, module in enumerate(fires):
        ratio = f"{full[module] / fires[module]:.1f}x"
        axes.text(i, full[module] * 1.1, ratio, ha="center", fontsize=8)
    axes.set_yscale("log")
    axes.set_xticks(place, fires, fontsize=8)
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    plain(axes, "SqueezeNet 1.1", "", "parameters")
    return made


def inception() -> Figure:
    """Operations of GoogLeNet's first block by branch, with and without reduction."""
    rows = {
        row.name.split("/")[1]: row
        for row in overview.published_table("googlenet")
        if row.name.startswith("inception3a/")
    }
    space, before = rows["pool"].output_shape[:-1], rows["pool"].output_shape[-1]
    with_it, without = {}, {}
    for branch in ("branch1x1", "branch3x3", "branch5x5", "branch_pool"):
        parts = [row.macs for name, row in rows.items() if name.startswith(branch)]
        with_it[branch] = sum(parts) / MILLION
        side = {"branch3x3": 3, "branch5x5": 5}.get(branch, 1)
        after = rows[branch].output_shape[-1]
        macs = arithmetic.conv_macs(space, (side, side), before, after)
        without[branch] = macs / MILLION
    made, ((left, right),) = figure(2, width=3.6, height=2.2)
    form = "{:,.1f}"
    total = sum(with_it.values())
    bars(left, with_it, f"1x1 before 3x3 and 5x5: {total:,.0f} M", form=form)
    total = sum(without.values())
    title = f"without reduction: {total:,.0f} M"
    bars(right, without, title, form=form, color=ORANGE)
    right.set_yticklabels([])
    for axes in (left, right):
        axes.set_xlim(0, 1.25 * max(without.values()))
    return made


def gradient_norms(shortcut: str, blocks: int) -> list[float]:
    """Returns the norm of each 3x3 kernel's gradient in a network that starts.

    The network is a CIFAR ResNet of width 8 with `blocks` blocks a stage. The norms are
    in the order of the layers.
    """
    model = models.create(
        "resnet20",
        num_classes=10,
        width=8,
        shortcut=shortcut,
        stage_sizes=(blocks,) * 3,
    )
    images, labels = (jnp.asarray(a[:64]) for a in all_digits(16))
    variables = model.init(jax.random.key(0), images[:1], train=False)

    @jax.jit
    @jax.grad
    def gradient(params):
        logits, _ = model.apply(
            variables | {"params": params}, images, train=True, mutable=["batch_stats"]
        )
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean()

    found = flatten_dict(gradient(variables["params"]), sep="/")
    names = (n for n in found if n.endswith(("conv1/kernel", "conv2/kernel")))
    order = sorted(names, key=lambda name: list(map(int, re.findall(r"\d+", name))))
    return [float(jnp.linalg.norm(found[name])) for name in order]


def residual() -> Figure:
    """Gradients of each layer before the first step, with and without shortcuts."""
    made, axes = figure(2, width=3.4, height=2.6, sharey=True)
    for panel, blocks in zip(axes[0], (3, 9), strict=True):
        for shortcut, name, color in (
            ("identity", "with shortcuts", BLUE),
            ("zero", "without", ORANGE),
        ):
            norms = gradient_norms(shortcut, blocks)
            panel.semilogy(range(1, len(norms) + 1), norms, color=color, label=name)
        plain(panel, f"{6 * blocks + 2} layers", "layer")
        panel.set_xticks(range(0, 6 * blocks + 1, 2 * blocks))
    axes[0, 0].set_ylabel("norm of the gradient", fontsize=9)
    axes[0, 0].legend(fontsize=8, frameon=False)
    return made


def flattened() -> Figure:
    """Filters of a convolution and of a flattened one, and the parameters."""
    window, count = (5, 5), 4
    delta = jnp.zeros((1, 9, 9, 1)).at[0, 4, 4, 0].set(1.0)
    made, axes = figure(count + 2, 2, width=1.35, height=1.6)
    kinds = {"Conv": layers.Conv, "FlattenedConv": layers.FlattenedConv}
    for row, (name, kind) in zip(axes, kinds.items(), strict=True):
        response, _ = kind(count, window, use_bias=False).init_with_output(
            jax.random.key(3), delta
        )
        for i in range(count):
            kernel = np.asarray(response)[0, 2:7, 2:7, i]
            rank = np.linalg.matrix_rank(kernel, tol=1e-5)
            picture(row[i], kernel, f"rank {rank}", signed=True)
        row[0].set_ylabel(name, fontsize=8)
    costs = {
        "Conv": arithmetic.conv_parameters(window, 64, 64),
        "FlattenedConv": arithmetic.flattened_parameters(window, 64, 64),
        "SeparableConv": arithmetic.separable_parameters(window, 64, 64),
    }
    for panel in axes[:, count:].flat:
        panel.remove()
    wide = made.add_subplot(axes[0, 0].get_gridspec()[:, count:])
    bars(wide, costs, "parameters, 64 to 64 channels")
    return made


def parameter_sharing() -> Figure:
    """A digit and the same digit moved, through both kinds of layers."""
    image = np.zeros((22, 22), np.float32)
    image[3:19, 1:17] = digit(3)
    moved = np.roll(image, 4, axis=1)
    made, axes = figure(4, 2, width=1.8, height=1.95)
    kinds = {"Conv": layers.Conv, "LocallyConnected": layers.LocallyConnected}
    for row, (name, kind) in zip(axes, kinds.items(), strict=True):
        layer = kind(1, 5, use_bias=False)
        x = jnp.asarray(np.stack([image, moved]))[..., None]
        y, _ = layer.init_with_output(jax.random.key(1), x)
        first, second = np.asarray(nn.relu(y))[..., 0]
        back = np.roll(second, -4, axis=1)
        limit = max(first.max(), second.max())
        picture(row[0], image, "input")
        picture(row[1], first, name, limit=limit)
        picture(row[2], second, "input moved by 4 pixels", limit=limit)
        picture(
            row[3],
            (first - back)[:, 3:-3],
            "difference, moved back",
            signed=True,
            limit=limit,
        )
    return made


def conv3d() -> Figure:
    """Frames of a moving digit, and a filter over time and space."""
    data = moving_digits.load(train_examples=16, test_examples=2)
    split, motion = data.splits["train"], "left, fast"
    chosen = list(split.labels).index(data.classes.index(motion))
    clip = split.images[chosen].astype(np.float32) / 255
    over_time = np.array([-1.0, 0.0, 1.0])
    kernel = over_time[:, None, None] * np.full((1, 3, 3), 1 / 9)
    conv = layers.Conv(1, (3, 3, 3), padding=0, use_bias=False)
    params = {"kernel": jnp.asarray(kernel, jnp.float32)[..., None, None]}
    y = conv.apply({"params": params}, jnp.asarray(clip)[None])[0, ..., 0]
    made, axes = figure(6, 2, width=1.5, height=1.7)
    for i, panel in enumerate(axes[0]):
        picture(panel, clip[i, :, :, 0], f"frame {i + 1}", limit=1.0)
    axes[0, 0].set_ylabel(motion, fontsize=8)
    for i, panel in enumerate(axes[1]):
        picture(panel, y[i], f"frames {i + 1} to {i + 3}", signed=True, limit=1.0)
    axes[1, 0].set_ylabel("3D filter", fontsize=8)
    return made
