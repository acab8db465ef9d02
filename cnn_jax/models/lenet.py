"""LeNet-5 (LeCun et al. 1998, "Gradient-Based Learning Applied to Document
Recognition")."""

from typing import ClassVar

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax import layers
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Edge
from cnn_jax.layers import initializers
from cnn_jax.models import strides
from cnn_jax.models.classifier import Classifier, Logits
from cnn_jax.models.spec import MNIST, ModelSpec, Published

POOLS = {"avg": layers.AvgPool, "max": layers.MaxPool}


class LeNet5(Classifier, kw_only=True):
    """Two convolutions with pooling, then three fully connected layers.

    On 32x32x1 images with 10 classes the network has 61,706 parameters. Three things
    follow today's practice and not the paper. The second convolution sees all maps; in
    the paper a table of connections selects some. Pooling has no parameters; in the
    paper it has a trainable scale. The output is linear; in the paper it consists of
    radial basis functions. Weights start as in LeCun et al. 1998 (variance 1/fan_in),
    biases at zero. Module names: `conv1`, `pool1`, `conv2`, `pool2`, `flatten`, `fc1`,
    `fc2`, `head`; see `Classifier` for other heads.

    The size of the image determines the inputs of the first fully connected layer. The
    5x5 kernels need 32x32 images, or `padding`:

        32x32    (0, 0)    maps of 28, 14, 10, 5    61,706 parameters
        28x28    (2, 0)    maps of 28, 14, 10, 5    61,706 parameters
        8x8      (2, 2)    maps of  8,  4,  4, 2    21,386 parameters

    Attributes:
      padding: zeros around the input of each of the two convolutions.
      activation: the non-linearity; see `layers.activation`.
      pool: "avg", as in the paper, or "max".

    Raises:
      UserError: a name is unknown, or the image is too small for the padding.
    """

    default_head_width: ClassVar[tuple[int, ...]] = (120, 84)

    head: str = "flatten_fc"
    padding: tuple[Edge, ...] = (0, 0)
    activation: str = "tanh"
    pool: str = "avg"

    def validate(self) -> None:
        self.check("pool", POOLS)
        if len(self.padding) != 2:
            raise UserError(
                f"padding={tuple(self.padding)} needs two entries, one for each "
                "convolution."
            )

    @property
    def own_activation(self) -> str:
        return "tanh"

    @property
    def subsampling(self) -> tuple[int, ...]:
        return (2, 2)

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool
    ) -> Logits:
        size = x.shape[1:-1]
        norm = self.normalization(train)
        init = initializers.lecun_normal()
        for i, (features, step) in enumerate(
            zip((6, 16), self.plan(), strict=True), start=1
        ):
            x = layers.Conv(
                features,
                5,
                padding=step.padding(self.padding[i - 1]),
                dilation=step.before,
                use_bias=norm is None,
                kernel_init=init,
                dtype=self.dtype,
                name=f"conv{i}",
            )(x)
            x = self.activate(layers.normalized(norm, x, f"conv{i}_norm"))
            x = strides.pool(POOLS[self.pool], x, 2, step, name=f"pool{i}")
        return self.classify(x, train, hidden_init=init, head_init=init, size=size)


VARIANTS = {
    "lenet5": ModelSpec(
        LeNet5,
        Published(
            MNIST, 10, 61_706, source="textbooks; LeCun et al. 1998 connect fewer maps"
        ),
        tiny={"padding": (2, 2), "head_width": (8,)},
    ),
}
