"""Values of a metric as text."""

from cnn_jax.sweeps import units


def test_a_metric_that_is_no_share():
    assert units.plus_minus("test/psnr", 31.2345, 0.456) == "31.23 ± 0.46"
    assert units.plus_minus("test/mean_iou", 0.91234, 0.0123) == "91.23% ± 1.23"
