"""The protocol with which a layer states its cost and its explanation."""

Shape = tuple[int, ...]

# The `jax.named_scope` of interpolations. Programs compute them as products, but by
# convention they have no multiply-accumulates.
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

    Both methods are called outside of `apply`. They may read attributes of the layer,
    but no parameters. `nn.nowrap` keeps linen from treating the methods as steps of the
    network. `in_shape` and `out_shape` are the shapes of one example, without the batch
    dimension. A layer without this mixin works too: its multiply-accumulates are
    counted from the traced program.
    """

    def macs(self, in_shape: Shape, out_shape: Shape) -> int:
        """Returns the multiply-accumulates on one example.

        By the convention of the literature, only convolutions and fully connected
        layers count. Normalization counts as zero, because it can be folded into the
        preceding convolution.
        """
        return 0

    def explain(self, in_shape: Shape, out_shape: Shape) -> tuple[str, str]:
        """Returns the layer's kind, such as "Convolution (3x3)", and a text with the
        layer's attributes and formulas.
        """
        return type(self).__name__, ""
