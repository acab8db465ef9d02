"""Caches the feature maps before the head if all layers before it are frozen."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax import models
from cnn_jax.core.errors import UserError
from cnn_jax.data.dataset import MEMORY_LIMIT, Dataset
from cnn_jax.data.splits import Arrays, Split
from cnn_jax.models.network import is_head
from cnn_jax.training import startup
from cnn_jax.training.dependence import dependent
from cnn_jax.training.freezing import Plan
from cnn_jax.training.setup import Training

BATCH = 64


def obstacle(
    model: nn.Module,
    plan: Plan | None,
    dataset: Dataset,
    *,
    augmented: bool,
    several_views: bool = False,
) -> str | None:
    """Returns the reason why the feature maps before the head cannot be cached.

    Feature maps can be cached if they are the same in every epoch and fit in memory.

    Args:
      model: the network.
      plan: how each parameter is trained; None trains every parameter.
      dataset: the data.
      augmented: whether training changes the images.
      several_views: whether evaluation averages several views of each image.

    Returns:
      The reason in words; None if the feature maps can be cached.
    """
    if plan is None or not all(is_head(model, p[0]) for p in plan.ever().trained):
        return "more than the head is trained"
    if not models.has_map(model):
        return "the network has no feature maps before its head"
    if model.auxiliary:
        return "auxiliary heads use other feature maps"
    if augmented:
        return "images are augmented"
    if several_views:
        return "evaluation averages several views"
    if not all(isinstance(split, Arrays) for split in dataset.splits.values()):
        return "the data is not held in memory"
    images = jax.ShapeDtypeStruct((1, *dataset.image_shape), jnp.float32)
    variables = jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, train=False), images
    )
    if _random(model, variables, images):
        return "the network uses random numbers before its head"
    maps = jax.eval_shape(lambda v, x: models.features(model, v, x), variables, images)
    size = maps.size * maps.dtype.itemsize * sum(map(len, dataset.splits.values()))
    if size > MEMORY_LIMIT:
        return f"the feature maps would need {size / 2**30:.1f} GiB"
    return None


def _random(model: nn.Module, variables: Any, images: Any) -> bool:
    """Returns whether the feature maps depend on random numbers in training."""

    def features(key: jax.Array, variables: Any, images: Any) -> dict[str, Any]:
        _, state = model.apply(
            variables, images, train=True, mutable=True, rngs={"dropout": key}
        )
        (maps,) = state["intermediates"]["features"]
        return {"features": maps}

    key = jax.eval_shape(lambda: jax.random.key(0))
    return bool(dependent(features, key, variables, images))


def with_features(
    training: Training, dataset: Dataset, variables: Any
) -> tuple[Dataset, str | None]:
    """Adds the feature maps before the head to each example, if they can be cached.

    Args:
      training: how the network is trained.
      dataset: the data.
      variables: the variables of the network.

    Returns:
      The data with the feature maps, and a line for the console. If the feature maps
      are not cached, the unchanged data and None.

    Raises:
      UserError: if `config.train.cache_features` is true and caching is not possible.
    """
    wanted = training.config.train.cache_features
    if wanted is False or (wanted is None and training.plan is None):
        return dataset, None
    network = training.network
    reason = obstacle(
        network.model,
        training.plan,
        dataset,
        augmented=training.augmentation.changes,
        several_views=bool(training.config.eval.views),
    )
    if reason and wanted:
        raise UserError(
            f"config.train.cache_features=true is not possible: {reason}. Set "
            "config.train.cache_features=false."
        )
    if reason:
        return dataset, None
    splits: dict[str, Split] = {}
    size = 0
    with startup.CLOCK.part("maps"):
        for role, split in dataset.splits.items():
            assert isinstance(split, Arrays)  # checked by `obstacle`
            maps = maps_of(network.model, network.normalize, variables, split)
            splits[role] = dataclasses.replace(split, features=maps)
            size += maps.nbytes
    return dataclasses.replace(dataset, splits=splits), (
        f"the feature maps before the head are cached: {size / 2**20:,.1f} MiB"
    )


def maps_of(
    model: nn.Module,
    normalize: Callable[[jax.Array], jax.Array],
    variables: Any,
    split: Arrays,
) -> np.ndarray:
    """Returns the feature maps before the head of all examples of a split.

    The shape of the result is (examples, *spatial dimensions, features).

    Args:
      model: the network.
      normalize: the function that normalizes images.
      variables: the variables of the network.
      split: the split whose images are the inputs.
    """

    @jax.jit
    def compute(variables: Any, images: jax.Array) -> jax.Array:
        return models.features(model, variables, normalize(images))

    parts = []
    for start in range(0, len(split), BATCH):
        images = split.images[start : start + BATCH]
        missing = BATCH - len(images)
        padded = np.pad(images, [(0, missing)] + [(0, 0)] * (images.ndim - 1))
        parts.append(np.asarray(compute(variables, padded))[: len(images)])
    return np.concatenate(parts)
