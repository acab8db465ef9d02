"""A crop at a random place of the image with an edge of black."""

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.data.augmentations.crop import Crop
from cnn_jax.data.labels import CLASS


@pytest.mark.parametrize("shape", [(6, 4, 1), (9, 6, 4, 1)])
def test_a_crop_has_something_of_the_image(shape):
    Crop(crop_padding=3).check(CLASS, shape)
    with pytest.raises(UserError, match="crop_padding=4 must be below 4, the shorter"):
        Crop(crop_padding=4).check(CLASS, shape)
