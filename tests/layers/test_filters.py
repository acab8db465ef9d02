"""Filters by hand: the lecture's example, and those of scikit-image and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import skimage.filters
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cnn_jax.core.errors import UserError
from cnn_jax.layers import (
    FILTERS,
    FilterBank,
    apply_filter,
    gaussian,
    gradient_magnitude,
)

EDGE = [[10, 10, 10, 0, 0, 0]] * 6
# SciPy's names of what lies beyond the border.
SCIPY = {
    "SAME": "constant",
    "edge": "nearest",
    "reflect": "mirror",
    "symmetric": "reflect",
}


def maps(image):
    """One image (height, width) as jnp, with one channel."""
    return jnp.asarray(np.array(image)[..., None], jnp.float32)


def run(image, kernel, padding="symmetric"):
    return np.array(apply_filter(maps(image), kernel, padding))[..., 0]


def images(least=3):
    # Few shapes: each compiles.
    sides = [(3, 3), (3, 8), (5, 4), (9, 9)]
    shape = st.sampled_from([s for s in sides if min(s) >= least])
    return arrays.arrays(np.float32, shape, elements=st.floats(-8, 8, width=16))


def test_lecture_edge():
    assert run(EDGE, "edge_vertical", "VALID").tolist() == [[0, 30, 30, 0]] * 4
    turned = run(np.transpose(EDGE), "edge_horizontal", "VALID")
    assert turned.T.tolist() == [[0, 30, 30, 0]] * 4
    assert not run(EDGE, "edge_horizontal", "VALID").any()
    dark_to_bright = run(np.fliplr(EDGE), "edge_vertical", "VALID")
    assert dark_to_bright.tolist() == [[0, -30, -30, 0]] * 4


def test_lecture_weights():
    assert {
        name: FILTERS[name].tolist()
        for name in (
            "edge_vertical",
            "edge_horizontal",
            "sobel_vertical",
            "scharr_vertical",
        )
    } == {
        "edge_vertical": [[1, 0, -1]] * 3,
        "edge_horizontal": [[1, 1, 1], [0, 0, 0], [-1, -1, -1]],
        "sobel_vertical": [[1, 0, -1], [2, 0, -2], [1, 0, -1]],
        "scharr_vertical": [[3, 0, -3], [10, 0, -10], [3, 0, -3]],
    }


@pytest.mark.full
@settings(max_examples=25, deadline=None)
@given(images())
def test_matches_scikit_image(image):
    library = skimage.filters
    # Its edge filters are convolutions, turned by 180 degrees, which changes their
    # sign, and are divided by the sum of the smoothing weights. Their border is SciPy's
    # "reflect", our "symmetric".
    for name, total in (("sobel", 4), ("scharr", 16), ("prewitt", 3)):
        for direction in ("vertical", "horizontal"):
            theirs = getattr(library, f"{name}_{direction[0]}")(image)
            ours = run(image, f"{name}_{direction}")
            np.testing.assert_allclose(ours, -total * theirs, atol=1e-3)
        # The mean of the two squares, where we take their sum.
        theirs = getattr(library, name)(image)
        ours = gradient_magnitude(maps(image), name, "symmetric")[..., 0]
        np.testing.assert_allclose(ours, total * 2**0.5 * theirs, atol=1e-2)
    # Its Laplacian is positive at a peak.
    np.testing.assert_allclose(
        run(image, "laplacian4"), -library.laplace(image), atol=1e-3
    )
    for size, sigma in ((3, 0.8), (5, 1.0), (7, 2.5)):
        theirs = library.gaussian(
            image, sigma, mode="nearest", truncate=(size // 2) / sigma
        )
        ours = run(image, gaussian(size, sigma), "edge")
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(images(), st.sampled_from(sorted(SCIPY)))
def test_every_filter_and_border_matches_scipy(image, padding):
    for name, kernel in FILTERS.items():
        theirs = scipy.ndimage.correlate(
            image.astype(float), kernel, mode=SCIPY[padding]
        )
        ours = run(image, name, padding)
        np.testing.assert_allclose(ours, theirs, atol=1e-3, err_msg=name)


def test_laplacians_are_second_derivatives():
    rows, columns = np.mgrid[:6, :7]
    parabola = rows**2 + 3 * columns**2
    assert (run(parabola, "laplacian4", "VALID") == 2 + 6).all()
    assert (run(parabola, "laplacian8", "VALID") == 3 * (2 + 6)).all()
    image = np.random.default_rng(0).standard_normal((6, 7)).astype(np.float32)
    theirs = scipy.ndimage.laplace(image, mode="reflect")
    np.testing.assert_allclose(run(image, "laplacian4"), theirs, atol=1e-5)


def test_any_batch_and_each_channel_by_itself():
    rng = np.random.default_rng(0)
    stack = jnp.asarray(rng.standard_normal((2, 3, 5, 6, 4)), jnp.float32)
    for function in (
        lambda x: apply_filter(x, "sobel_vertical"),
        lambda x: apply_filter(x, [[1, 2, 3]], "VALID"),
        gradient_magnitude,
    ):
        y = function(stack)
        for i, j, c in np.ndindex(2, 3, 4):
            alone = function(stack[i, j, ..., c : c + 1])
            np.testing.assert_allclose(y[i, j, ..., c : c + 1], alone, atol=1e-5)


def test_dtype_of_the_image_and_sums_in_float32():
    x = jnp.ones((1, 63, 63, 1), jnp.bfloat16)
    y = apply_filter(x, np.ones((63, 63)), "VALID")
    assert y.dtype == jnp.bfloat16
    assert y.item() == jnp.bfloat16(63 * 63)
    steep = jnp.asarray([[0, 30000]] * 3, jnp.float16)[..., None]
    y = gradient_magnitude(steep, "edge", "edge")
    assert y.dtype == jnp.float16
    assert y.max() == jnp.inf  # 90000 is beyond float16
    assert gradient_magnitude(steep / 100, "edge", "edge").max() == 900


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_answers_to_integers_are_not_cut_off(dtype):
    image = np.array([[0, 0, 255]] * 3)
    x = jnp.asarray(image[..., None], dtype)
    y = apply_filter(x, "sobel_vertical", "VALID")
    assert y.dtype == jnp.float32
    assert y.item() == -4 * 255
    y = gradient_magnitude(x, padding="VALID")
    assert y.dtype == jnp.float32
    assert y.item() == 4 * 255
    y = FilterBank(("sobel_vertical",), "VALID").apply({}, x[None])
    assert y.dtype == jnp.float32
    assert y.item() == -4 * 255


def test_gradient_of_the_magnitude():
    slope = jax.grad(lambda x: gradient_magnitude(x, padding="VALID").sum())
    assert not slope(jnp.ones((3, 3, 1))).any()
    # One vertical edge: the magnitude is the absolute value of that one answer.
    x = maps([[1, 0, 0]] * 3)
    np.testing.assert_allclose(slope(x)[..., 0], FILTERS["sobel_vertical"], atol=1e-6)


def test_a_fixed_bank_has_no_variables():
    x = jax.random.normal(jax.random.key(0), (2, 5, 6, 3))
    bank = FilterBank(("sobel_vertical", "gaussian", [[1, 0, -1]]), "reflect")
    y, variables = bank.init_with_output(jax.random.key(1), x)
    assert variables == {}
    assert y.shape == (2, 5, 6, 9)
    # The maps of the first channel come first; smaller filters are centered.
    for c in range(3):
        for i, kernel in enumerate(bank.filters):
            alone = apply_filter(x[..., c : c + 1], kernel, "reflect")
            np.testing.assert_allclose(y[..., 3 * c + i], alone[..., 0], atol=1e-5)


def test_a_learned_bank_starts_as_the_fixed_one():
    x = jax.random.normal(jax.random.key(0), (2, 5, 6, 3))
    names = ("scharr_horizontal", "laplacian8")
    bank = FilterBank(names, learned=True)
    y, variables = bank.init_with_output(jax.random.key(1), x)
    np.testing.assert_array_equal(y, FilterBank(names).apply({}, x))
    kernel = variables["params"]["kernel"]
    assert list(variables["params"]) == ["kernel"]
    assert kernel.shape == (3, 3, 1, 6)
    assert kernel.dtype == jnp.float32
    for c in range(3):
        for i, name in enumerate(names):
            np.testing.assert_array_equal(kernel[:, :, 0, 2 * c + i], FILTERS[name])
    # It is the parameter that the output comes from.
    doubled = bank.apply(jax.tree.map(lambda leaf: 2 * leaf, variables), x)
    np.testing.assert_allclose(doubled, 2 * y, rtol=1e-6)


@pytest.mark.parametrize("learned", [True, False])
def test_a_bank_computes_in_dtype(learned):
    x = jnp.ones((1, 4, 4, 1))
    bank = FilterBank(("gaussian",), "edge", learned, jnp.bfloat16)
    y, variables = bank.init_with_output(jax.random.key(0), x)
    assert y.dtype == jnp.bfloat16
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))
    np.testing.assert_allclose(y.astype(jnp.float32), 1, rtol=0.01)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: apply_filter(x, "sobel"), "unknown filter 'sobel'.*sobel_vertical"),
        (lambda x: apply_filter(x, "gaussian", "same"), "padding 'same'.*VALID"),
        (lambda x: apply_filter(x, [[1, -1]]), "two dimensions of odd size"),
        (lambda x: apply_filter(x, "gaussian", "VALID"), "5x5 does not fit .* 4x3"),
        (lambda x: gradient_magnitude(x, "edges"), "Did you mean 'edge'"),
        (lambda x: gaussian(4, 1.0), "size=4 of a Gaussian filter must be odd"),
        (lambda x: gaussian(3, 0.0), r"sigma=0\.0 of a Gaussian .* above 0"),
        (lambda x: FilterBank(()), "at least one"),
        (lambda x: FilterBank("sobel_vertical"), r"write \('sobel_vertical',\)"),
        (lambda x: FilterBank(("sobel_v",)), "unknown filter 'sobel_v'"),
        (lambda x: FilterBank(("gaussian",), "mirror"), "unknown padding 'mirror'"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(UserError, match=message):
        call(jnp.zeros((4, 3, 1)))
