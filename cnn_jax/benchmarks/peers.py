"""Checks that all peers use. A peer is another implementation of our network."""

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
    """The error for a peer that is not installed or does not have the network."""


def check_residual(model: resnet.ResNet, peer: str) -> None:
    """Raises NoPeer if a residual network has an attribute value that peers lack.

    Args:
      model: our residual network.
      peer: the peer's name, for the error.
    """
    for field, known in KNOWN.items():
        if (found := getattr(model, field)) not in known:
            raise NoPeer(
                f"--peer={peer} has no residual network with {field}={found}: set "
                f"--config.model.{field} to {' or '.join(map(str, known))}, or leave "
                "out --peer."
            )


def check_one_device(peer: str) -> None:
    """Raises NoPeer if JAX uses several devices. `peer` is the peer's name."""
    if (devices := jax.device_count()) > 1:
        raise NoPeer(
            f"--peer={peer} compares on one device, but JAX uses {devices} devices: "
            "show JAX only one device (for GPUs: CUDA_VISIBLE_DEVICES=0), or leave out "
            "--peer."
        )


def check_outputs(found: Any, expected: Any, tolerance: float) -> None:
    """Raises ValueError if a peer's logits differ from our logits.

    Args:
      found: the peer's logits.
      expected: our logits.
      tolerance: the largest allowed difference, as a fraction of the largest logit.
    """
    found, expected = np.asarray(found), np.asarray(expected)
    error = np.abs(found - expected).max() / np.abs(expected).max()
    if not error <= tolerance:
        raise ValueError(f"the peer's outputs differ from ours by {error:.1e}")
