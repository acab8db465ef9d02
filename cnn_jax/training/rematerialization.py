"""Rematerialization: the backward pass computes feature maps again.

The backward pass needs the feature maps of the forward pass. To save memory, a module
can keep only its input. The backward pass then computes the maps inside of the module a
second time (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost").
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.core.errors import UserError


@contextmanager
def rematerialized(*, remat: str | None = None) -> Iterator[None]:
    """Inside of this context, modules keep only their inputs for the backward pass.

    Values and gradients are the same up to rounding.

    Args:
      remat: a regular expression for the modules that keep only their inputs for the
        backward pass, such as `stage.*`. Their feature maps are computed again, which
        saves memory and takes time. None: all feature maps stay in memory.
    """
    if remat is None:
        yield
        return
    inside: set[str] = set()

    def call(path: str, module: nn.Module, method: Any, args: Any, options: Any) -> Any:
        if inside or not re.fullmatch(remat, path):
            return method(*args, **options)
        arrays = {i: x for i, x in enumerate(args) if isinstance(x, jax.Array)}

        def again(module: nn.Module, arrays: dict[int, jax.Array]) -> Any:
            inside.add(path)
            try:
                given = [arrays.get(i, x) for i, x in enumerate(args)]
                return module(*given, **options)
            finally:
                inside.remove(path)

        return nn.remat(again)(module, arrays)

    with _calls(call):
        yield


def check(model: nn.Module, image_shape: tuple[int, ...], pattern: str | None) -> None:
    """Raises UserError if no module of a network matches a pattern.

    Args:
      model: the network.
      image_shape: the shape of an image.
      pattern: the config key `train.remat`.
    """
    if pattern is None:
        return
    paths: list[str] = []

    def record(
        path: str, module: nn.Module, method: Any, args: Any, options: Any
    ) -> Any:
        del module
        paths.append(path)
        return method(*args, **options)

    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    with _calls(record):
        jax.eval_shape(
            lambda images: model.init(jax.random.key(0), images, train=False), images
        )
    try:
        found = any(re.fullmatch(pattern, path) for path in paths)
    except re.error as error:
        raise UserError(
            f"config.train.remat={pattern} is not a regular expression: {error}."
        ) from error
    if not found:
        modules = dict.fromkeys(path.partition("/")[0] for path in paths)
        raise UserError(
            f"config.train.remat={pattern} matches no module of the network. Its "
            f"modules are {', '.join(modules)}."
        )


def _calls(call: Callable[..., Any]) -> Any:
    """Returns a context in which a function takes the place of the calls of modules.

    Args:
      call: a function of the path of a module in the network, such as
        "stage1_block1/conv1", the module, its method `__call__`, the arguments and the
        keyword arguments. It returns the output of the call.
    """

    def intercept(method: Any, args: Any, options: Any, context: Any) -> Any:
        if context.method_name != "__call__" or not context.module.path:
            return method(*args, **options)
        path = "/".join(context.module.path)
        return call(path, context.module, method, args, options)

    return nn.intercept_methods(intercept)
