"""Convolutional neural networks in JAX and Flax."""

from cnn_jax.core import guard

guard.protect()  # before any import that could find a module in a run's folder

__version__ = "0.1.0"

API = ("Loaded", "compare", "config", "create", "load", "sweep", "train")
__all__ = [*API, "__version__"]


def __getattr__(name: str):
    """Returns the attribute `name` of `cnn_jax.api`.

    The first call imports `cnn_jax.api`, and with it JAX.
    """
    if name not in API:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cnn_jax import api

    return getattr(api, name)
