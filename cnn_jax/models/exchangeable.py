"""The base class of networks whose activation and normalization can be exchanged."""

import flax.linen as nn
from jax.typing import DTypeLike

from cnn_jax import layers
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Count
from cnn_jax.models.network import Network


class Exchangeable(Network, kw_only=True):
    """A network with an activation and a normalization that a config can exchange.

    A subclass applies `activate` in place of a function such as ReLU, and makes its
    normalization layers with `normalization`. Gates, and modules whose paper fixes
    their layers (squeeze-and-excitation, the context module), keep their functions.

    Attributes:
      activation: the non-linearity after the layers: "relu", "relu6", "leaky_relu",
        "elu", "selu", "gelu", "silu", "mish", "hard_swish", "softplus", "sigmoid",
        "tanh", or the import path of a function. None is the architecture's own.
      norm: the normalization at every place where the architecture has normalization
        or, if it has none, after every convolution (in a perceptron, after every
        hidden layer): "batch", "group", "layer", "instance", "none", or the import path
        of a layer; see `layers.norm`. None is the architecture's own. Fully connected
        layers of heads have no normalization. With "none", all convolutions have a
        bias.
      norm_groups: the number of groups of norm="group"; None is the largest divisor of
        the layer's channels up to 32 that leaves at least 4 channels in a group.
      dtype: dtype of the computation; None is float32.

    Raises:
      UserError: an activation or normalization is unknown, or `norm_groups` is set for
        another normalization.
    """

    # Whether batch statistics are computed over all devices.
    sync_batch_norm = False

    activation: str | None = None
    norm: str | None = None
    norm_groups: Count | None = None
    dtype: DTypeLike | None = None

    def __post_init__(self):
        if self.activation is not None:
            layers.activation(self.activation)
        if self.norm is not None:
            layers.norms.find(self.norm)
        if self.norm_groups is not None and self.norm != "group":
            raise UserError(
                f"norm_groups={self.norm_groups} belongs to norm=group, not to "
                f"norm={self.norm}: leave norm_groups out or set norm=group."
            )
        super().__post_init__()

    @property
    def own_activation(self) -> str:
        """The activation of the architecture, a name of `layers.ACTIVATIONS`."""
        return "relu"

    @property
    def own_norm(self) -> str:
        """The normalization of the architecture, a name of `layers.NORMS`."""
        return "none"

    @property
    def norm_name(self) -> str:
        """The normalization of the network: `norm` or, if it is None, `own_norm`."""
        return self.norm or self.own_norm

    @property
    def exchanged(self) -> str:
        chosen = {
            "activation": (self.activation, self.own_activation),
            "normalization": (self.norm, self.own_norm),
        }
        return "; ".join(
            f"{layer}: {name} in place of {own}"
            for layer, (name, own) in chosen.items()
            if name not in (None, own)
        )

    @property
    def activate(self) -> layers.Activation:
        """The activation function."""
        return layers.activation(self.activation or self.own_activation)

    @nn.nowrap
    def normalization(self, train: bool, **attributes) -> layers.NormDef | None:
        """Returns a function that makes a normalization layer.

        The result is None without normalization; see `layers.norm`.

        Args:
          train: whether batch normalization uses the statistics of the batch.
          attributes: further attributes of the layers, such as `epsilon`.
        """
        return layers.norm(
            self.norm_name,
            train,
            groups=self.norm_groups,
            sync=self.sync_batch_norm,
            dtype=self.dtype,
            **attributes,
        )
