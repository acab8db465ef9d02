"""Backend implementations of convolution and max pooling."""
