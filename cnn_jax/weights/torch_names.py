"""Names in torchvision's state dicts.

This file has the names of variables. The spec of a model in `models.MODELS` has the
names of the model's layers.
"""

from cnn_jax import models
from cnn_jax.core.errors import UserError
from cnn_jax.models.other_names import OtherNames

# The names of a layer's variables.
LEAVES = {
    ("params", "kernel"): "weight",
    ("params", "scale"): "weight",
    ("params", "bias"): "bias",
    ("batch_stats", "mean"): "running_mean",
    ("batch_stats", "var"): "running_var",
}

# The models that torchvision has too.
FAMILIES: dict[str, OtherNames] = {
    name: spec.names for name, spec in models.MODELS.items() if spec.names
}


def family(name: str) -> OtherNames:
    """Returns the names of a model's layers in torchvision.

    Raises:
      UserError: torchvision has no such network.
    """
    known = name in models.MODELS or "." in name
    names = models.spec_of(name).names if known else None
    if names is None:
        raise UserError(
            f"torchvision has no counterpart of '{name}'. The networks with a "
            f"counterpart are: {', '.join(sorted(FAMILIES))}."
        )
    return names
