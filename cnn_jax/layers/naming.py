"""Names of layers in error messages."""

from collections.abc import Iterator
from contextlib import contextmanager

import flax.linen as nn

from cnn_jax.core.errors import UserError


def where(module: nn.Module) -> str:
    """Returns the path of a module within the network, or its class if it is alone."""
    path = module.path if module.scope is not None else ()  # a call without `apply`
    return "/".join(path) or type(module).__name__


@contextmanager
def named(name: str) -> Iterator[None]:
    """Puts `name` before the text of each `UserError` from inside the `with` block.

    An empty name leaves the errors unchanged.
    """
    try:
        yield
    except UserError as error:
        raise UserError(f"{name}: {error}" if name else str(error)) from None
