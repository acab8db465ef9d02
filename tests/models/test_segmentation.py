"""torchvision's networks for segmentation: what their published figures count."""

import pytest

from cnn_jax import models


@pytest.mark.parametrize("name", ["fcn_resnet50", "deeplabv3_resnet50"])
def test_the_auxiliary_head_of_segmentation(name):
    """torchvision counts it in evaluation: 3x3 from 1024 to 256 channels and 1x1 to 21
    classes on the 65x65 pixels of an image of 520 at an output stride of 8."""
    figures = models.published(name)
    assert figures.input_shape == (520, 520, 3) and figures.num_classes == 21
    first, last = 3 * 3 * 1024 * 256, 256 * 21
    assert figures.auxiliary_macs == 65**2 * (first + last)
    assert figures.auxiliary and "9,991 M" in figures.source
