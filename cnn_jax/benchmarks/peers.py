"""What the peers share: which networks they have, and how they say that they do not."""

from typing import Any

import jax
import numpy as np

from cnn_jax.core.errors import UserError
from cnn_jax.models import resnet

# What a residual network must be to be built by a peer.
NEEDED = {"head": "gap", "output_stride": None, "stochastic_depth": 0.0}


class NoPeer(UserError):
    """The peer is not installed here, or has no such network."""


def check_residual(model: resnet.ResNet, peer: str) -> None:
    """Raises NoPeer for an attribute that the peers do not know."""
    for field, value in NEEDED.items():
        if (found := getattr(model, field)) != value:
            raise NoPeer(
                f"--peer={peer} has no residual network with {field}={found}, only "
                f"with {value}."
            )


def check_one_device(peer: str) -> None:
    """Raises NoPeer where there are several devices."""
    if (devices := jax.device_count()) > 1:
        raise NoPeer(f"--peer={peer} compares on one device, and JAX uses {devices}.")


def check_outputs(found: Any, expected: Any, tolerance: float) -> None:
    """Raises ValueError where logits differ by more than a share of the largest."""
    found, expected = np.asarray(found), np.asarray(expected)
    error = np.abs(found - expected).max() / np.abs(expected).max()
    if not error <= tolerance:
        raise ValueError(f"the peer's outputs differ from ours by {error:.1e}")
