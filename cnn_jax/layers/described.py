"""The protocol by which a layer states its cost and its explanation."""

Shape = tuple[int, ...]

# The `jax.named_scope` of operations that by convention have no multiply-accumulates,
# although a program computes them as products: interpolation.
UNCOUNTED = "cnn_jax-uncounted"


class Described:
    """A mixin for linen modules that state their own multiply-accumulates.

    The layer table (`analysis.costs`) calls both methods for every call of the layer:

        class Scale(Described, nn.Module):
            @nn.compact
            def __call__(self, x):
                return x * self.param("scale", nn.initializers.ones, (x.shape[-1],))

            @nn.nowrap
            def explain(self, in_shape, out_shape):
                return "Scale", f"one factor for each of {in_shape[-1]} channels"

    Both are called outside of `apply`: they read attributes, never parameters, and
    `nn.nowrap` keeps linen from treating them as steps of the network. Shapes are those
    of one example, without the batch dimension. A layer without the mixin needs none:
    its multiply-accumulates are counted from the traced program.
    """

    def macs(self, in_shape: Shape, out_shape: Shape) -> int:
        """Multiply-accumulates on one example.

        By the convention of the literature, only convolutions and fully connected
        layers have any. Normalization can be folded into the convolution before it.
        """
        return 0

    def explain(self, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        """The layer's kind, "Convolution (3x3)", and its attributes and formulas."""
        return type(self).__name__, ""
