"""Values of a metric as text."""

import pytest

from cnn_jax.sweeps import units
from cnn_jax.sweeps.statistics.paired import Difference


def test_a_metric_that_is_no_share():
    assert units.plus_minus("test/psnr", 31.2345, 0.456) == "31.23 ± 0.46"
    assert units.plus_minus("test/mean_iou", 0.91234, 0.0123) == "91.23% ± 1.23"


@pytest.mark.parametrize("value", [0.0, -0.0, 4e-5, -4e-5])
def test_zero_has_no_sign(value):
    metric = "test/accuracy"
    assert units.signed(metric, value) == units.bare(metric, value) == "0.00"
    assert units.value_text(metric, value) == "0.00%"


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("test/accuracy", -0.0123, "-1.23"),
        ("test/accuracy", 0.0123, "+1.23"),
        ("test/psnr", -0.0, "0"),
        ("test/psnr", 0.12345, "+0.1235"),
        ("test/psnr", -1e-9, "-1e-09"),
    ],
)
def test_differences_have_a_sign(metric, value, text):
    assert units.signed(metric, value) == text


def test_an_interval_that_touches_zero():
    found = Difference(3, 0.01, -1e-6, 0.02, 0.05)
    assert units.interval("test/accuracy", found) == "0.00 to +2.00"


def test_axes_say_their_unit():
    assert units.label("test/accuracy") == "test/accuracy (%)"
    assert units.difference_label("test/iou") == "difference in test/iou (points)"
    assert units.difference_label("test/psnr") == "difference in test/psnr"
    assert (units.scale("test/accuracy"), units.scale("test/psnr")) == (100, 1)
