"""A crop at a random place of the image with an edge of black."""

import pytest

from cnn_jax.core import fit
from cnn_jax.core.errors import UserError
from cnn_jax.core.fit import Part
from cnn_jax.data.augmentations.crop import Crop
from cnn_jax.data.labels import CLASS


@pytest.mark.parametrize("side", [4, 9])
def test_a_crop_has_something_of_the_image(side):
    data = Part("digits", {"shorter side": side, "label kind": "class"})
    fit.check([data, Crop(padding=side - 1).part(CLASS)])
    with pytest.raises(UserError, match=rf"needs images with more than {side} pixels"):
        fit.check([data, Crop(padding=side).part(CLASS)])
