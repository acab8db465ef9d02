"""The learning rate range test (Smith 2017, "Cyclical learning rates", section 3.3).

The learning rate grows exponentially from step to step, until the loss explodes. A good
highest learning rate lies where the loss falls most steeply.
"""

import contextlib
import csv
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.core.errors import UserError
from cnn_jax.data.splits import Split
from cnn_jax.runs import console, run_folder, run_training
from cnn_jax.training import config as config_lib
from cnn_jax.training import loop, parallel
from cnn_jax.training.config import Config
from cnn_jax.training.setup import Training

LOWEST, HIGHEST = 1e-6, 10.0
STEPS = 200
SMOOTHING = 5.0  # steps, the standard deviation of a Gaussian filter
EXPLODED = 4.0  # the test ends when the loss is so many times the first loss
PICTURE, TABLE = "lr_range.png", "lr_range.csv"


class Curve(NamedTuple):
    """The loss at each learning rate.

    Attributes:
      rates: the learning rate of each step.
      losses: the loss of each step.
      smoothed: the losses after a Gaussian filter over the steps.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray


def rate_at(step: int | jax.Array) -> jax.Array:
    """Returns the learning rate of a step, from `LOWEST` to `HIGHEST`."""
    share = jnp.asarray(step) / (STEPS - 1)
    return LOWEST * (HIGHEST / LOWEST) ** share


def run(config: Config, workdir: Path) -> None:
    """Prints a suggested learning rate, and writes the curve and its picture.

    Args:
      config: the resolved config. Its schedule and its length are not used.
      workdir: the folder of `PICTURE` and `TABLE`. It may hold a run, which does not
        change.

    Raises:
      UserError: if the config or the data is wrong, or the loss never falls.
    """
    run_folder.check_place(workdir)
    ready = run_training.prepare(config)
    for line in ready.said:
        console.say(line)
    curve = measured(ready.training, ready.dataset.splits["train"])
    steepest, lowest = suggestions(curve)
    if parallel.is_main_host():
        workdir.mkdir(parents=True, exist_ok=True)
        with (workdir / TABLE).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["learning_rate", "loss", "smoothed_loss"])
            writer.writerows(zip(*map(np.ndarray.tolist, curve), strict=True))
        draw(curve, steepest, workdir / PICTURE)
    console.say(f"lowest loss at a learning rate of     {lowest:.2g}")
    console.say(f"steepest fall at a learning rate of   {steepest:.2g}")
    console.say(f"\n--config.optimizer.learning_rate={steepest:.2g}")
    console.say(f"{workdir / PICTURE}")


def measured(training: Training, split: Split) -> Curve:
    """Returns the loss of training steps with growing learning rates.

    Args:
      training: how the network is trained; its schedule is replaced.
      split: the training split.
    """
    config = training.config
    training = training.with_schedule(rate_at)
    train_step = training.step()
    state = parallel.replicate(training.fresh_state())
    key = parallel.replicate(jax.random.key(config.seed))
    options = config_lib.arguments(config.data, loop.batches)
    losses: list[float] = []
    loaded = loop.batches(split, config.seed, 0, STEPS, **options)
    with contextlib.closing(loaded):
        for _, batch in parallel.prefetch(loaded):
            state, pairs = train_step(state, batch, key)
            total, count = jax.device_get(pairs["objective"])
            losses.append(float(total / count))
            if not losses[-1] <= EXPLODED * losses[0]:  # NaN too
                break
    return smooth(np.array([loss for loss in losses if np.isfinite(loss)]))


def smooth(losses: np.ndarray) -> Curve:
    """Returns the curve of the losses of the first steps."""
    from scipy.ndimage import gaussian_filter1d  # takes a tenth of a second to import

    rates = np.asarray([rate_at(step) for step in range(len(losses))], np.float64)
    # A moving average of the steps before would lag behind the losses.
    smoothed = gaussian_filter1d(losses, SMOOTHING, mode="nearest")
    return Curve(rates, losses, smoothed)


def suggestions(curve: Curve) -> tuple[float, float]:
    """Returns the learning rate where the loss falls most steeply, and the learning
    rate of the lowest loss.

    The slope is the slope of the smoothed loss over the logarithm of the learning rate.
    Only learning rates up to the lowest loss count.

    Raises:
      UserError: if the loss never falls.
    """
    end = int(curve.smoothed.argmin())
    slopes = np.gradient(curve.smoothed[: end + 1]) if end else np.zeros(1)
    if slopes.min() >= 0:
        raise UserError(
            f"the loss does not fall at any learning rate from {LOWEST:g} to "
            f"{HIGHEST:g}. Check the labels, and config.data.normalization."
        )
    return float(curve.rates[slopes.argmin()]), float(curve.rates[end])


def draw(curve: Curve, suggested: float, path: Path) -> None:
    """Draws the loss over the learning rate.

    Args:
      curve: the loss at each learning rate.
      suggested: the learning rate to mark.
      path: the PNG file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.semilogx(curve.rates, curve.losses, color="lightgray", label="each step")
    axes.semilogx(curve.rates, curve.smoothed, label="smoothed")
    axes.axvline(suggested, ls="--", color="gray", label=f"suggested: {suggested:.2g}")
    low, high = curve.smoothed.min(), curve.smoothed.max()
    axes.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    axes.legend()
    figure.savefig(path, dpi=120)
