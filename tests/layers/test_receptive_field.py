"""Receptive fields: by walking all windows, and the figures of papers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.layers import arithmetic
from cnn_jax.layers.receptive_field import ReceptiveField, receptive_field

LAYERS = st.lists(
    st.tuples(
        st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2)
    ),
    min_size=1,
    max_size=3,
)


def seen(size, layers):
    """A matrix of ones where an output depends on an input, by walking all windows."""
    depends = np.eye(size, dtype=bool)
    for kernel, stride, dilation, padding in layers:
        padded = np.pad(depends, [(padding, padding), (0, 0)])
        span = dilation * (kernel - 1) + 1
        depends = np.array(
            [
                padded[i : i + span : dilation].any(0)
                for i in range(0, len(padded) - span + 1, stride)
            ]
        )
    return depends


@settings(max_examples=25, deadline=None)
@given(LAYERS)
def test_receptive_field_bounds_what_outputs_see(layers):
    field = ReceptiveField()
    for kernel, stride, dilation, padding in layers:
        field = field.through(kernel, stride, padding, dilation)
    without_padding = [layer[:3] for layer in layers]
    assert field.size == receptive_field(without_padding)
    size = field.size + 3 * field.stride
    depends = seen(size, layers)
    exact = 0
    for i, row in enumerate(depends):
        inputs = np.flatnonzero(row)
        first, last = i * field.stride + field.start, i * field.stride + field.end
        if inputs.size:
            assert first <= inputs[0]
            assert inputs[-1] <= last
        if first >= 0 and last < size:  # padding hides nothing
            assert (inputs[0], inputs[-1]) == (first, last)
            exact += 1
    assert exact


def test_joined_branches():
    field = ReceptiveField().through(3, 2, padding=(1, 0))
    wide, narrow = field.through(5, padding=2), field.through(1)
    assert (wide.stride, wide.start, wide.end) == (2, -5, 5)
    assert narrow.union(wide) == wide.union(narrow) == wide
    shifted = ReceptiveField(2, 0, 9)
    assert wide.union(shifted) == ReceptiveField(2, -5, 9)
    with pytest.raises(ValueError, match="strides 2 and 4"):
        wide.union(narrow.through(2, 2))


def test_arithmetic_has_these_too():
    assert arithmetic.ReceptiveField is ReceptiveField
    assert arithmetic.receptive_field is receptive_field


def test_no_layer_sees_one_value():
    assert receptive_field([]) == ReceptiveField().size == 1


@pytest.mark.parametrize(
    ("layers", "size"),
    [
        # Araujo et al. 2019, table 1: to the last pooling.
        ("alexnet_v2", 195),
        ("vgg_16", 212),
    ],
)
def test_published_fields(layers, size):
    conv3, pool2, pool3 = (3, 1, 1), (2, 2, 1), (3, 2, 1)
    chains = {
        "alexnet_v2": [
            (11, 4, 1),
            pool3,
            (5, 1, 1),
            pool3,
            *[conv3] * 3,
            pool3,
        ],
        "vgg_16": [
            *[conv3, conv3, pool2] * 2,
            *[conv3, conv3, conv3, pool2] * 3,
        ],
    }
    assert receptive_field(chains[layers]) == size


def test_of_a_pair_only_the_padding_before_matters():
    """Padding after the input moves no window."""
    field = ReceptiveField(2, -1, 3)
    assert field.through(3, 2, (1, 0)) == field.through(3, 2, (1, 5))
    assert field.through(3, 2, 1) == field.through(3, 2, (1, 1))
    assert field.through(3, 2, 1) == ReceptiveField(4, -3, 5)


def test_a_window_of_one_sees_the_same():
    field = ReceptiveField(2, -1, 3)
    assert field.through(1) == field
    assert field.through(1, stride=3) == ReceptiveField(6, -1, 3)
