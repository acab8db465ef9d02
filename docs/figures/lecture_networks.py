"""The lecture's figures of whole networks: cost, transfer and verification."""

import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from lecture_drawing import (
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    bars,
    digit,
    figure,
    picture,
    plain,
)
from matplotlib.figure import Figure

from cnn_jax import models
from cnn_jax.analysis import overview
from cnn_jax.data import digits, perturbations
from cnn_jax.tasks import embeddings, verification
from cnn_jax.training import freezing

MILLION = 1e6
ROOT = Path(__file__).parents[2]


def measured(name: str) -> dict[str, float]:
    """Returns each arm's test accuracy of an experiment, from experiments/README.md."""
    page = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    _, _, section = page.partition(f"<!-- {name} -->")
    section, _, _ = section.partition(f"<!-- end of {name} -->")
    rows = re.findall(r"^\| (.+?) +\| +\d+ \| +([\d.]+)% ", section, re.MULTILINE)
    return {arm: float(value) for arm, value in rows}


def subsampling() -> Figure:
    """A digit with fewer pixels, and the measured accuracy of two networks."""
    percent = (100, 75, 50, 25, 20, 10)
    pool = np.rint(digit(5) * 255).astype(np.uint8)[None, :, :, None]
    made, axes = figure(6, 3, width=1.35, height=1.6, height_ratios=[1, 1, 1.5])
    for row, keep in zip(axes, perturbations.KEEP, strict=False):
        for panel, share in zip(row, percent, strict=True):
            left = perturbations.subsample(pool, share / 100, keep)[0, :, :, 0]
            picture(panel, left, f"{share}% {keep}", limit=255)
    for panel in axes[2]:
        panel.remove()
    wide = made.add_subplot(axes[0, 0].get_gridspec()[2, :])
    found = measured("subsampling")
    for network, color in (("CNN", BLUE), ("MLP", ORANGE)):
        for keep, line in (("grid", "-"), ("random", "--")):
            arms = [f"{network}, {p}% {keep}" for p in percent]
            arms[0] = f"{network}, 100% grid"
            accuracies = [found[arm] for arm in arms]
            label = f"{network}, {keep}"
            wide.plot(percent, accuracies, line, color=color, label=label, marker=".")
    wide.legend(fontsize=7, frameon=False)
    plain(wide, "", "pixels left, %", "test accuracy, %")
    return made


def global_average_pooling() -> Figure:
    """Parameters in fully connected layers and in all others, by network."""
    names = ("lenet5", "alexnet", "vgg16", "googlenet", "resnet18", "squeezenet1_1")
    shares, labels = [], []
    for name in names:
        table = overview.published_table(name)
        rows = [r for r in table if r.type == "Dense" and not r.training_only]
        dense = sum(row.parameters for row in rows)
        shares.append(100 * dense / table.parameters)
        labels.append(f"{shares[-1]:.1f}% of {table.parameters:,}")
    made, ((axes,),) = figure(1, width=6.0, height=2.6)
    colors = [ORANGE] * 3 + [BLUE] * 3
    bars(axes, dict(zip(names, shares, strict=True)), "", color=colors, form="")
    for place, (share, label) in enumerate(zip(shares, labels, strict=True)):
        axes.text(share + 1, place, label, va="center", fontsize=8)
    axes.set_xlim(0, 150)
    axes.set_title("parameters in fully connected layers", fontsize=9)
    return made


def transfer() -> Figure:
    """Parameters that each regime trains, and the measured accuracy by data."""
    model = models.create("squeezenet1_0", num_classes=10, head="gap")
    shapes = freezing.shapes_of(model, (64, 64, 3))
    regimes = {"head only": "head", "last blocks": "head|fire[89]", "all": ".*"}
    trained = {}
    for regime, pattern in regimes.items():
        plan = freezing.make(partial(list, shapes), train_only=pattern)
        chosen = [path for path, part in plan.parts.items() if part.start == 0]
        trained[regime] = sum(math.prod(shapes[path]) for path in chosen)
    made, ((left, right),) = figure(2, width=3.5, height=2.7)
    colors = [GREEN, ORANGE, BLUE]
    bars(left, trained, "trained parameters of SqueezeNet 1.0", color=colors)
    found, shares = measured("transfer-folder"), ("1%", "5%", "20%", "100%")
    curves = dict(zip(regimes, colors, strict=True)) | {"from scratch": GRAY}
    for regime, color in curves.items():
        accuracies = [found[f"{share}, {regime}"] for share in shares]
        right.plot(shares, accuracies, color=color, marker=".", label=regime)
    right.legend(fontsize=7, frameon=False)
    plain(
        right,
        "photos of hand signs",
        "share of the training photos",
        "test accuracy, %",
    )
    return made


def moved_digits(role: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the digits of a split on 24x24 pixels, each moved by up to 4 pixels."""
    split = digits.load(image_size=16).splits[role]
    canvas = np.pad(split.images, [(0, 0), (4, 4), (4, 4), (0, 0)])
    images = perturbations.shift(canvas, 4)
    return images.astype(np.float32) / 255, split.labels


def embedder(seen: int, steps: int = 200) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a network from images to embeddings, trained with the triplet loss.

    It learns the digits below `seen` and never sees the others.
    """
    images, labels = moved_digits("train")
    pool = np.flatnonzero(labels < seen)
    model = models.create(
        "plain",
        num_classes=seen,
        widths=(16, 32),
        head="embedding",
        head_grid=3,
        embedding_features=32,
    )
    variables = model.init(jax.random.key(0), images[:1], train=False)
    optimizer = optax.adam(2e-3)
    state = optimizer.init(variables["params"])

    @jax.jit
    def step(variables, state, x, y):
        def loss(params):
            out, new = model.apply(
                variables | {"params": params}, x, train=True, mutable=["batch_stats"]
            )
            return embeddings.semi_hard_triplet(out["embedding"], y), new

        grads, new = jax.grad(loss, has_aux=True)(variables["params"])
        updates, state = optimizer.update(grads, state)
        params = optax.apply_updates(variables["params"], updates)
        return {"params": params} | new, state

    rng = np.random.default_rng(0)
    for _ in range(steps):
        chosen = rng.choice(pool, 64, replace=False)
        x, y = jnp.asarray(images[chosen]), jnp.asarray(labels[chosen])
        variables, state = step(variables, state, x, y)

    def embed(x):
        return np.asarray(
            model.apply(variables, jnp.asarray(x), train=False)["embedding"]
        )

    return embed


def verify() -> Figure:
    """Similarities of pairs of digits never seen, and the ROC curve."""
    images, labels = moved_digits("test")
    images, labels = images[labels > 5], labels[labels > 5]
    vectors = embedder(seen=6)(images)
    first, second = verification.all_pairs(len(labels))
    genuine = labels[first] == labels[second]
    made, axes = figure(3, width=2.7, height=2.5)
    left, middle, right = axes[0]
    curves = {}
    for panel, name, found in (
        (left, "pixels", images.reshape(len(images), -1)),
        (middle, "embeddings", vectors),
    ):
        similar = verification.cosine_similarities(found)[first, second]
        edges = np.linspace(-1, 1, 41)
        for chosen, label, color in (
            (genuine, "same digit", BLUE),
            (~genuine, "different", ORANGE),
        ):
            panel.hist(
                similar[chosen],
                edges,
                density=True,
                alpha=0.6,
                label=label,
                color=color,
            )
        plain(panel, name, "cosine similarity")
        panel.set_yticks([])
        curves[name] = verification.roc(similar, genuine)
    left.legend(fontsize=7, frameon=False)
    for (name, curve), color in zip(curves.items(), (GRAY, GREEN), strict=True):
        label = f"{name}: area {curve.auc:.3f}"
        right.plot(curve.far, curve.tar, color=color, label=label)
    right.legend(fontsize=7, frameon=False)
    plain(right, "ROC curve", "false accept rate", "true accept rate")
    return made


def architectures() -> Figure:
    """Parameters and operations of the published networks at 224x224 pixels."""
    names = ("alexnet", "vgg11", "vgg16", "googlenet", "squeezenet1_0", "squeezenet1_1")
    names += ("resnet18", "resnet50", "densenet121", "mobilenet_v2")
    made, ((axes,),) = figure(1, width=6.2, height=3.6)
    for name in names:
        table = overview.published_table(name)
        x, y = table.macs / 1e9, table.parameters / MILLION
        axes.loglog(x, y, "o", color=BLUE)
        left = name in ("googlenet", "squeezenet1_1")
        place, side = (x * (0.92 if left else 1.08), y), "right" if left else "left"
        axes.annotate(name, place, fontsize=8, ha=side, va="center")
    axes.set_xlim(0.13, 40)
    plain(
        axes, "one image of 224x224", "multiply-accumulates, 10^9", "parameters, 10^6"
    )
    return made
