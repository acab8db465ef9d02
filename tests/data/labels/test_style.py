"""A style beside each picture."""

from cnn_jax.data.labels.style import STYLE


def test_images_are_pairs_that_are_not_augmented():
    assert STYLE.fits((), (2, 4, 6, 3)) and not STYLE.fits((), (4, 6, 3))
    assert STYLE.paired and not (STYLE.movable or STYLE.recolorable)
