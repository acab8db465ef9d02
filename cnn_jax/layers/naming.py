"""How error messages say which layer they are about."""

from collections.abc import Iterator
from contextlib import contextmanager

import flax.linen as nn

from cnn_jax.core.errors import UserError


def where(module: nn.Module) -> str:
    """The path of a module within the network; its class, if it is by itself."""
    path = module.path if module.scope is not None else ()  # a call without `apply`
    return "/".join(path) or type(module).__name__


@contextmanager
def named(name: str) -> Iterator[None]:
    """Puts `name` in front of the user errors raised within; "" leaves them be."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{name}: {error}" if name else str(error)) from None
