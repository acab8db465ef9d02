"""The maps before the head, computed once where all that is before it rests."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.errors import InvalidRngError

from cnn_jax import models
from cnn_jax.data.dataset import MEMORY_LIMIT, Dataset
from cnn_jax.data.splits import Arrays
from cnn_jax.models.classifier import Classifier
from cnn_jax.models.network import is_head
from cnn_jax.training.freezing import Plan

BATCH = 64


def obstacle(
    model: nn.Module, plan: Plan | None, dataset: Dataset, *, augmented: bool
) -> str | None:
    """Why the maps before the head are not the same in every epoch, or cannot be kept;
    None: they are and can.

    Args:
      augmented: whether training changes the images.
    """
    if plan is None or not all(is_head(model, p[0]) for p in plan.ever().trained):
        return "more than the head is trained"
    if not models.has_map(model):
        return "the network has no map before its head"
    if model.auxiliary:
        return "auxiliary heads look at other maps"
    if augmented:
        return "images are augmented"
    if not all(isinstance(split, Arrays) for split in dataset.splits.values()):
        return "the data is not held in memory"
    images = jax.ShapeDtypeStruct((1, *dataset.image_shape), jnp.float32)
    variables = jax.eval_shape(
        lambda x: model.init(jax.random.key(0), x, train=False), images
    )
    if _random(model, variables, images):
        return "the network draws at random before its head"
    maps = jax.eval_shape(lambda v, x: models.features(model, v, x), variables, images)
    size = maps.size * maps.dtype.itemsize * sum(map(len, dataset.splits.values()))
    if size > MEMORY_LIMIT:
        return f"the maps would need {size / 2**30:.1f} GiB"
    return None


class _HeadReached(Exception):
    pass


def _random(model: nn.Module, variables: Any, images: Any) -> bool:
    """Whether training draws random numbers before the head."""

    def intercept(method: Any, args: Any, options: Any, context: Any) -> Any:
        if context.method_name == "classify":
            raise _HeadReached
        return method(*args, **options)

    def apply(variables: Any, images: Any) -> Any:
        return model.apply(variables, images, train=True, mutable=True)

    try:
        with nn.intercept_methods(intercept):
            jax.eval_shape(apply, variables, images)  # without a key for dropout
    except _HeadReached:
        return False
    except InvalidRngError:
        return True
    raise AssertionError(f"{type(model).__name__} does not call its head")


def cached(
    model: nn.Module,
    normalize: Callable[[jax.Array], jax.Array],
    variables: Any,
    split: Arrays,
) -> Arrays:
    """The split with the map before the head of each example as its `features`."""

    @jax.jit
    def compute(variables: Any, images: jax.Array) -> jax.Array:
        return models.features(model, variables, normalize(images))

    parts = []
    for start in range(0, len(split), BATCH):
        images = split.images[start : start + BATCH]
        missing = BATCH - len(images)
        padded = np.pad(images, [(0, missing)] + [(0, 0)] * (images.ndim - 1))
        parts.append(np.asarray(compute(variables, padded))[: len(images)])
    return dataclasses.replace(split, features=np.concatenate(parts))


@contextmanager
def given(features: jax.Array | None) -> Iterator[None]:
    """Within, the head of a network is applied to `features`, whatever its image is.

    What comes before the head is traced but, as nothing uses it, not compiled.
    """
    if features is None:
        yield
        return

    def intercept(method: Any, args: Any, options: Any, context: Any) -> Any:
        if context.method_name == "classify" and isinstance(context.module, Classifier):
            args = (features, *args[1:])
        return method(*args, **options)

    with nn.intercept_methods(intercept):
        yield
