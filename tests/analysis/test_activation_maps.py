"""Class activation maps of networks whose weights are known, and boxes by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage import measure
from skimage.transform import resize

from cnn_jax import models
from cnn_jax.analysis import activation_maps
from cnn_jax.errors import UserError
from cnn_jax.models.classifier import Classifier


class Bare(Classifier, kw_only=True):
    """A network whose last map is its input."""

    subsampling = ()

    @nn.compact
    def __call__(self, x, train):
        return self.classify(x, train, size=x.shape[1:-1])


def variables_of(model, x):
    """Those it starts from, and biases that are not zero."""
    variables = model.init(jax.random.key(0), x, train=False)
    bias = variables["params"]["head"]["bias"]
    variables["params"]["head"]["bias"] = jnp.linspace(-0.5, 0.7, len(bias))
    return variables


@pytest.mark.parametrize("head", activation_maps.HEADS)
def test_equation_2_spelled_out(head):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    model = Bare(num_classes=6, head=head)
    variables = variables_of(model, jnp.asarray(x))
    kernel = np.asarray(variables["params"]["head"]["kernel"]).reshape(5, 6)
    found = activation_maps.class_activation_maps(
        model, variables, jnp.asarray(x), jnp.array([4, 1])
    )
    for number, label in enumerate((4, 1)):
        expected = sum(kernel[k, label] * x[number, ..., k] for k in range(5))
        np.testing.assert_allclose(found[number], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("head", activation_maps.HEADS)
def test_the_mean_of_the_map_is_the_logit(head):
    x = jax.random.normal(jax.random.key(1), (3, 8, 8, 1))
    classes = jnp.array([3, 0, 2])
    model = models.create(
        "resnet20", num_classes=4, head=head, stage_sizes=(1, 1), width=4
    )

    @jax.jit
    def compute(x):
        variables = variables_of(model, x)
        maps = activation_maps.class_activation_maps(model, variables, x, classes)
        bias = variables["params"]["head"]["bias"][classes]
        return model.apply(variables, x, train=False), maps, bias

    logits, maps, bias = compute(x)
    assert maps.shape == (3, 4, 4) and (maps.std((1, 2)) > 0).all()
    with_bias = maps + bias[:, None, None]
    if head == "conv_gap":
        assert (with_bias < 0).any()
        with_bias = jax.nn.relu(with_bias)
    own = logits[jnp.arange(3), classes]
    np.testing.assert_allclose(with_bias.mean((1, 2)), own, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", ["flatten_fc", "fcn", "embedding"])
def test_other_heads_have_none(head):
    model = models.create("resnet20", num_classes=4, head=head)
    with pytest.raises(UserError, match=f"head={head} has no class activation maps"):
        activation_maps.class_activation_maps(
            model, {}, jnp.zeros((1, 8, 8, 1)), jnp.zeros(1, jnp.int32)
        )


def test_enlarging_is_that_of_scikit_image():
    maps = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    found = activation_maps.enlarged(jnp.asarray(maps), (12, 8))
    for number in range(2):
        expected = resize(maps[number], (12, 8), order=1, mode="edge")
        np.testing.assert_allclose(found[number], expected, atol=1e-5)


@settings(max_examples=50, deadline=None)
@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 7), st.integers(1, 7)),
        elements=st.integers(-5, 5).map(float),
    )
)
def test_the_box_of_the_largest_region(heat):
    """Regions by scikit-image; equally large ones are in the order of their pixels."""
    found = activation_maps.box(heat)
    if heat.max() <= 0:
        assert found == (0, 0, heat.shape[1], heat.shape[0])
        return
    regions = measure.regionprops(measure.label(heat > heat.max() / 5, connectivity=2))
    top, left, bottom, right = max(regions, key=lambda region: region.area).bbox
    assert found == (left, top, right, bottom)


corners = st.tuples(*[st.integers(0, 6)] * 2, *[st.integers(7, 12)] * 2)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(corners, st.lists(corners, max_size=3)), min_size=1))
def test_localisation_spelled_out(images):
    """On pixels, one by one."""

    def pixels(corners):
        left, top, right, bottom = corners
        return {(x, y) for x in range(left, right) for y in range(top, bottom)}

    wrong = 0
    for found, objects in images:
        one = pixels(found)
        ratios = [len(one & other) / len(one | other) for other in map(pixels, objects)]
        wrong += not any(ratio >= 0.5 for ratio in ratios)
    boxes = np.array([found for found, _ in images])
    objects = [np.array(row, int).reshape(-1, 4) for _, row in images]
    error = activation_maps.localization_error(boxes, objects)
    assert error == pytest.approx(wrong / len(images))
    none = np.zeros(len(images), bool)
    assert activation_maps.localization_error(boxes, objects, none) == 1
    assert activation_maps.localization_error(boxes, objects, ~none) == error


def test_boxes_apart_do_not_meet():
    boxes = np.array([[0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 2, 2]])
    objects = [
        np.array([[3, 3, 5, 5]]),
        np.array([[0, 0, 2, 4]]),
        np.array([[0, 0, 2, 5]]),
    ]
    assert activation_maps.localization_error(boxes, objects) == pytest.approx(2 / 3)


def test_a_network_that_finds_a_bright_square():
    """Its only channel is the image, and its weight for the class is positive."""
    x = np.zeros((1, 20, 16, 1), np.float32)
    x[0, 5:12, 3:9] = 1.0
    x[0, 15:17, 10:12] = 0.9  # another region, and smaller
    model = Bare(num_classes=2)
    kernel = jnp.array([[-1.0, 2.0]])
    variables = {"params": {"head": {"kernel": kernel, "bias": jnp.zeros(2)}}}
    maps = activation_maps.class_activation_maps(
        model, variables, jnp.asarray(x), jnp.array([1])
    )
    found = activation_maps.box(np.asarray(maps[0]))
    assert found == (3, 5, 9, 12)
    larger = activation_maps.enlarged(maps, (40, 32))
    left, top, right, bottom = activation_maps.box(np.asarray(larger[0]))
    np.testing.assert_allclose((left, top, right, bottom), (6, 10, 18, 24), atol=1)
    maps = activation_maps.class_activation_maps(
        model, variables, jnp.asarray(x), jnp.array([0])
    )
    assert activation_maps.box(np.asarray(maps[0])) == (0, 0, 16, 20)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_red_where_the_map_is_high_and_blue_where_it_is_low(channels):
    image = np.full((4, 6, channels), 100, np.uint8)
    heat = np.zeros((4, 6), np.float32)
    heat[1, 2], heat[3, 5] = 3, -2
    found = activation_maps.overlay(image, heat)
    assert found.dtype == np.uint8 and found.shape == (4, 6, 3)
    np.testing.assert_allclose(found[1, 2], [114, 50, 50], atol=1)  # dark red
    np.testing.assert_allclose(found[3, 5], [50, 50, 114], atol=1)  # dark blue
    flat = activation_maps.overlay(image, np.ones((4, 6), np.float32))
    assert (flat == flat[0, 0]).all()
