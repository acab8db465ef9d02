"""Convolutional neural networks in JAX and Flax."""
