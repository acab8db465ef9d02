"""The parameters to which weight decay applies."""

from typing import Any

import jax

# Weight decay skips biases, normalization and optimized pixels (He et al. 2019, "Bag of
# Tricks", section 3.1).
NOT_DECAYED = {"bias", "scale", "pixels"}


def decays(name: str, rank: int) -> bool:
    """Returns whether weight decay applies to a parameter.

    Weight decay applies to parameters with more than one dimension whose name is not in
    `NOT_DECAYED`.

    Args:
      name: the last part of the parameter's path, such as "kernel".
      rank: the number of dimensions.
    """
    return name not in NOT_DECAYED and rank > 1


def decay_mask(params: Any) -> Any:
    """Returns a tree with True for each parameter to which weight decay applies.

    See `decays`.
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: decays(path[-1].key, leaf.ndim), params
    )
