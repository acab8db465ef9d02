"""Boxes of class activation maps, and pictures of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage import measure

from cnn_jax.tasks import activation_maps


@settings(max_examples=50, deadline=None)
@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 7), st.integers(1, 7)),
        elements=st.integers(-5, 5).map(float),
    ),
    st.sampled_from([0.2, 0.5]),
)
def test_the_box_of_the_largest_region(heat, share):
    """Regions by scikit-image; equally large ones are in the order of their pixels."""
    found = activation_maps.box(heat, share)
    if heat.max() <= 0:
        assert found == (0, 0, *heat.shape)
        return
    regions = measure.regionprops(
        measure.label(heat > share * heat.max(), connectivity=2)
    )
    assert found == max(regions, key=lambda region: region.area).bbox


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
