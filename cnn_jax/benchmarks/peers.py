"""Checks that the peers share: networks, devices and outputs."""

from typing import Any

import jax
import numpy as np

from cnn_jax.core.errors import UserError
from cnn_jax.models import resnet

# The attribute values with which the peers can build a residual network.
KNOWN = {
    "head": ("gap",),
    "output_stride": (None,),
    "stochastic_depth": (0.0,),
    "stem": ("imagenet", "small"),
    "shortcut": ("projection", "identity", "zero"),
}


class NoPeer(UserError):
    """The peer is not installed, or has no such network."""


def check_residual(model: resnet.ResNet, peer: str) -> None:
    """Raises NoPeer if the peers do not know the value of an attribute."""
    for field, known in KNOWN.items():
        if (found := getattr(model, field)) not in known:
            raise NoPeer(
                f"--peer={peer} has no residual network with {field}={found}, only "
                f"with {' or '.join(map(str, known))}."
            )


def check_one_device(peer: str) -> None:
    """Raises NoPeer if JAX uses several devices."""
    if (devices := jax.device_count()) > 1:
        raise NoPeer(f"--peer={peer} compares on one device, and JAX uses {devices}.")


def check_outputs(found: Any, expected: Any, tolerance: float) -> None:
    """Raises ValueError if logits differ by more than `tolerance` of the largest."""
    found, expected = np.asarray(found), np.asarray(expected)
    error = np.abs(found - expected).max() / np.abs(expected).max()
    if not error <= tolerance:
        raise ValueError(f"the peer's outputs differ from ours by {error:.1e}")
