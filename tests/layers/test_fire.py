from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.layers import Conv, Fire


def test_parameters_of_table_1():
    module = Fire(16, 64, 64, Conv)
    x = jax.ShapeDtypeStruct((1, 5, 6, 96), jnp.float32)
    y, variables = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
    assert y.shape == (1, 5, 6, 128)
    sizes = jax.tree.map(lambda leaf: leaf.size, variables["params"])
    assert {k: sum(v.values()) for k, v in sizes.items()} == {
        "squeeze": 96 * 16 + 16,
        "expand1x1": 16 * 64 + 64,
        "expand3x3": 9 * 16 * 64 + 64,
    }


def test_both_expansions_see_the_rectified_squeeze():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 5, 6, 3), np.float32)
    kernels = {
        "squeeze": rng.standard_normal((1, 1, 3, 4), np.float32),
        "expand1x1": rng.standard_normal((1, 1, 4, 2), np.float32),
        "expand3x3": rng.standard_normal((3, 3, 4, 3), np.float32),
    }
    module = Fire(4, 2, 3, partial(Conv, use_bias=False), dilation=2)
    params = {name: {"kernel": kernel} for name, kernel in kernels.items()}
    y = jax.jit(module.apply)({"params": params}, x)
    squeezed = np.maximum(x @ kernels["squeeze"][0, 0], 0)
    pointwise = squeezed @ kernels["expand1x1"][0, 0]
    np.testing.assert_allclose(y[..., :2], np.maximum(pointwise, 0), atol=1e-5)
    padded = np.pad(squeezed, [(0, 0), (2, 2), (2, 2), (0, 0)])
    taps = padded[:, 2 : 2 + 5 : 2, 1 : 1 + 5 : 2]  # around pixel (2, 1)
    assert taps.shape[1:3] == (3, 3)
    pixel = np.einsum("bhwi,hwio->bo", taps, kernels["expand3x3"])
    np.testing.assert_allclose(y[:, 2, 1, 2:], np.maximum(pixel, 0), atol=1e-5)
