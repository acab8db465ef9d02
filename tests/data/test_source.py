"""The descriptions of the data sources."""

import numpy as np
import pytest

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.core.paths import is_place
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.source import Description, Source, StandIn
from cnn_jax.data.splits import Arrays
from cnn_jax.data.subset import FEW, Stored, Subset


def loader(subset, *, image_size: int = 4) -> Dataset:
    """A set of as many images as asked for."""
    images = np.zeros((subset.train_examples or 9, image_size, image_size, 1), np.uint8)
    split = Arrays(images, np.zeros(len(images), np.int32))
    return Dataset(
        {"train": split, "test": split}, ("a",), split.image_shape, (0.0,), (1.0,)
    )


SOURCE = Source("mine", loader, takes=Subset, perturbed=True)


@pytest.mark.parametrize("source", data.SOURCES.values(), ids=data.SOURCES)
def test_every_source(source):
    """A source's stand-in has the same kind of labels, and needs no files."""
    options = source.options()
    assert "image_size" in options and source.loader.__doc__
    shared = source.takes is not None and issubclass(source.takes, Stored)
    assert ("in_memory" in options) == shared
    if source.embedded:
        assert not source.stand_in and not source.stand_ins
        return
    # Every source of the user's files says where they are, or its name does.
    assert source.places() or source.named
    for stand_in in (source.stand_in, *source.stand_ins.values()):
        used = data.SOURCES[stand_in.name]
        assert used.embedded and stand_in.options.keys() <= used.options().keys()


def test_a_loader_gets_what_it_takes():
    assert SOURCE.options().keys() == {
        *("image_size", "train_examples", "test_examples", "subset_seed"),
        *("val", "val_seed", "fold", "val_examples"),
        *("keep_pixels", "keep", "test_shift"),
    }
    made = SOURCE.load(train_examples=5, image_size=8, keep_pixels=0.25)
    assert len(made.splits["train"]) == 5 and made.image_shape == (4, 4, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_sise": 4}, "option of data set 'mine' 'image_sise'. Did you mean"),
        ({"train_examples": 0}, r"data\.train_examples=0 must be"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(UserError, match=message):
        SOURCE.load(**options)


def test_a_description_loads_as_little_as_it_can():
    seen = []

    def watched(stored, *, image_size: int = 4) -> Dataset:
        """Remembers what it was asked for."""
        seen.append(stored)
        return loader(stored, image_size=image_size)

    for takes in (Stored, Subset):
        found = Source("mine", watched, takes=takes).describe(image_size=6)
        assert found == Description(("a",), (6, 6, 1))
    assert seen == [Stored(in_memory=False), Subset(**FEW)]
    assert SOURCE.describe(keep_pixels=0.25).image_shape == (2, 2, 1)


def test_a_description_without_loading():
    def describer(name, **options):
        return Description((name,), (3, 3, options["image_size"]))

    source = Source("mine", loader, named=True, describer=describer)
    assert source.describe("set", image_size=1) == Description(("set",), (3, 3, 1))


def test_stand_ins_by_the_name_of_a_set():
    mnist = StandIn(image_size=28, channels=1)
    source = Source("mine", loader, stand_in=StandIn(), stand_ins={"mnist": mnist})
    assert source.stand_in_for("mnist") == mnist
    assert source.stand_in_for("cifar10") == StandIn() == source.stand_in_for()
    assert SOURCE.stand_in_for() is None


def test_places_are_keys_of_sources():
    assert {"dir", "file", "data_dir"} <= data.PLACES
    assert is_place(data.options("folder")["dir"].hint)
    assert data.SOURCES["masks"].places() == {"dir"}
