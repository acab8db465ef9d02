"""How a convolution and a maximum are computed on a backend."""
