"""Convolutional neural networks in JAX and Flax."""

from cnn_jax.core import guard

guard.protect()  # before any import that a file in a run's folder could answer

__version__ = "0.1.0"
