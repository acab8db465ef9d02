"""Batch statistics over many training images, which evaluation uses.

Running statistics are averages over the last steps, in which the parameters changed.
Precise statistics belong to the parameters that are evaluated: the network computes the
batch statistics of several training batches, and the statistics of all these images
follow from them (Wu and Johnson 2021, "Rethinking 'Batch' in BatchNorm", section 3).
Averaged parameters need them most, because no batch was computed with these parameters.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import lax

from cnn_jax.data import augment
from cnn_jax.models.classifier import cached
from cnn_jax.training import parallel
from cnn_jax.training.freezing import EVERYTHING, Path, Phase
from cnn_jax.training.state import stream

Statistics = dict[Path, Any]


def make_step(
    model: nn.Module,
    *,
    augmentation: augment.Augment,
    normalize: Callable[[jax.Array], jax.Array],
    phase: Phase = EVERYTHING,
) -> Callable[[Any, Mapping[str, jax.Array], jax.Array], Statistics]:
    """Returns a function that computes the batch statistics of a training batch.

    The function `(variables, batch, key) -> statistics` is for one device, and must be
    mapped over the axis "batch". The statistics, by their paths, are those of the batch
    over all devices. Frozen layers are left out.

    Args:
      model: the network.
      augmentation: the function that changes training images at random.
      normalize: the function that normalizes images.
      phase: the trained and the frozen parameters.
    """

    def step(
        variables: Any, batch: Mapping[str, jax.Array], key: jax.Array
    ) -> Statistics:
        batch = augmentation(stream(key, "augment"), batch)
        images, statistics = normalize(batch["image"]), variables["batch_stats"]
        old = flatten_dict(statistics)
        dropout = jax.random.fold_in(stream(key, "dropout"), batch["index"][0])
        moving = {path: x for path, x in old.items() if not phase.rests(path[:-1])}

        def updated(moving: Statistics) -> Statistics:
            _, new = model.apply(
                {"params": variables["params"]}
                | {"batch_stats": unflatten_dict(old | moving)}
                | phase.marks(statistics)
                | cached(batch.get("features")),
                images,
                train=True,
                mutable=["batch_stats", "auxiliary"],
                rngs={"dropout": dropout},
            )
            found = flatten_dict(new["batch_stats"])
            return {path: found[path] for path in moving}

        # A running statistic becomes momentum * old + (1 - momentum) * batch. So the
        # batch's statistic follows from the value at 0 and from the derivative.
        zeros = jax.tree.map(jnp.zeros_like, moving)
        ones = jax.tree.map(jnp.ones_like, moving)
        shares, momentum = jax.jvp(updated, (zeros,), (ones,))
        found = {
            path: jnp.where(momentum[path] < 1, share / (1 - momentum[path]), old[path])
            for path, share in shares.items()
        }
        means = lax.pmean(found, parallel.AXIS)
        for path in _variances(found):
            difference = found[_mean(path)] - means[_mean(path)]
            means[path] += lax.pmean(difference**2, parallel.AXIS)
        return means

    return step


def computed(
    step: Callable[[Any, Mapping[str, jax.Array], jax.Array], Statistics],
    variables: Any,
    batches: Iterable[Mapping[str, np.ndarray]],
    key: jax.Array,
) -> Any:
    """Returns the batch statistics of the network over all images of some batches.

    Args:
      step: the function of `make_step`, mapped over this host's devices.
      variables: the network's variables, replicated on this host's devices.
      batches: this host's part of the training batches, which have equal sizes.
      key: the key of the run's seed, replicated on this host's devices.

    Returns:
      A tree like `variables["batch_stats"]`. A variance is the mean of the batches'
      variances plus the variance of their means.
    """
    found = []
    for _, batch in parallel.prefetch(batches):
        outputs = step(variables, batch, key)
        parallel.hold_back(outputs)
        found.append(outputs)
    rows = jax.device_get(found)
    values = {
        path: np.array([row[path] for row in rows], np.float64) for path in rows[0]
    }
    means = {path: value.mean(axis=0) for path, value in values.items()}
    for path in _variances(means):
        means[path] = means[path] + values[_mean(path)].var(axis=0)
    statistics = {path: np.float32(value) for path, value in means.items()}
    return unflatten_dict(flatten_dict(variables["batch_stats"]) | statistics)


def _variances(statistics: Statistics) -> list[Path]:
    """Returns the paths of the variances that have a mean beside them."""
    return [p for p in statistics if p[-1] == "var" and _mean(p) in statistics]


def _mean(path: Path) -> Path:
    """Returns the path of the mean beside a variance."""
    return (*path[:-1], "mean")
