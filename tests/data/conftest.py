"""Real data, small folders of pictures, and a small prepared TFDS set."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_jax.data.loading import train_batches

OBJECT = (
    "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax>"
    "<ymax>{}</ymax></bndbox></object>"
)


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data sets; tests that need it are skipped without it."""
    beside = Path(__file__).parents[2] / "../shared/data"
    folder = Path(os.environ.get("CNN_JAX_TEST_DATA") or beside).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; CNN_JAX_TEST_DATA says where it is")
    return folder


@pytest.fixture(scope="session")
def tfds_dir(shared_data):
    return str(shared_data / "tensorflow_datasets")


@pytest.fixture
def write():
    """Writes a picture of noise, or of one gray, and the folders above it."""

    def write_picture(path, size=(20, 16), value=None, mode="RGB", **options):
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(len(path.parts) + sum(os.fsencode(path.name)))
        noise = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
        pixels = noise if value is None else np.full_like(noise, value)
        Image.fromarray(pixels).convert(mode).save(path, **options)
        return path

    return write_picture


@pytest.fixture
def pets(tmp_path, write):
    """dir/<class>/*: ten cats (black) and five dogs (white)."""
    for i in range(10):
        write(tmp_path / "pets/cat" / f"{i}.png", value=0)
    for i in range(5):
        write(tmp_path / "pets/dog" / f"{i}.jpg", value=255)
    return tmp_path / "pets"


@pytest.fixture(scope="session")
def same_batches():
    """`same_batches(kept, stored)`: a batch to train on is the same from memory, from
    the disk, and by a worker."""

    def compare(kept, stored):
        options = {"batch_size": 8, "seed": 5, "start_step": 3, "stop_step": 4}
        first, *others = [
            next(train_batches(found.splits["train"], workers=workers, **options))
            for found, workers in ((kept, 0), (stored, 0), (stored, 1))
        ]
        for other in others:
            for key in first:
                np.testing.assert_array_equal(first[key], other[key])

    return compare


def prepare(folder, name, features, examples):
    """Prepares a TFDS set of twelve training and four validation examples there."""
    import tensorflow_datasets as tfds

    def info(self):
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def generators(self, dl_manager):
        return {split: examples(n) for split, n in (("train", 12), ("validation", 4))}

    kind = type(
        name.capitalize(),
        (tfds.core.GeneratorBasedBuilder,),
        {
            "VERSION": tfds.core.Version("1.0.0"),
            "pkg_dir_path": Path(__file__).parent,
            "_info": info,
            "_split_generators": generators,
            "_generate_examples": None,
        },
    )
    kind(data_dir=str(folder), file_format="array_record").download_and_prepare()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A TFDS set "shapes" of JPEGs of many sizes, prepared on the spot."""
    import tensorflow_datasets as tfds

    def examples(count):
        for i in range(count):
            size = (40 + i, 30 + 2 * i)
            image = Image.new("RGB", size, (200 * (i % 2),) * 3)
            yield i, {"image": image, "label": i % 2}

    folder = tmp_path_factory.mktemp("tensorflow_datasets")
    features = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
        "label": tfds.features.ClassLabel(names=["dark", "light"]),
    }
    prepare(folder, "shapes", features, examples)
    return str(folder)


@pytest.fixture(scope="session")
def prepared_masks(tmp_path_factory):
    """TFDS sets of many sizes whose left half is 1 and whose right half is 2 or 3:
    "halves", as `oxford_iiit_pet`, and "named", whose masks have names for values."""
    import tensorflow_datasets as tfds

    def examples(count):
        for i in range(count):
            height, width = 30 + 2 * i, 40 + 2 * i
            mask = np.ones((height, width, 1), np.uint8)
            mask[:, width // 2 :] = 2 + i % 2
            image = (mask * 60).repeat(3, -1)
            yield i, {"image": png(image), "label": 0, "mask": png(mask[..., 0])}

    def png(pixels):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        file.seek(0)
        return file

    folder = tmp_path_factory.mktemp("tensorflow_datasets")
    names = ["nothing", "pet", "wall", "door"]
    for name, mask in (
        ("halves", tfds.features.Image(shape=(None, None, 1))),
        ("named", tfds.features.LabeledImage(shape=(None, None, 1), labels=names)),
    ):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=["pet"]),
            "mask": mask,
        }
        prepare(folder, name, features, examples)
    return str(folder)


@pytest.fixture
def cells(tmp_path, write):
    """A folder as Pascal VOC has it: five pictures of 40x20, one box each."""
    root = tmp_path / "cells"
    (root / "Annotations").mkdir(parents=True)
    for i in range(5):
        write(root / "JPEGImages" / f"{i}.jpg", size=(40, 20))
        box = OBJECT.format("ab"[i % 2], 11, 5, 20, 10)  # of pixels that count from 1
        size = "<size><width>40</width><height>20</height><depth>3</depth></size>"
        xml = f"<annotation><filename>{i}.jpg</filename>{size}{box}</annotation>"
        (root / "Annotations" / f"{i}.xml").write_text(xml)
    return root


@pytest.fixture
def pictures(tmp_path, write):
    """A folder of twelve pictures of sizes of their own."""
    for i in range(12):
        write(tmp_path / "pictures" / f"{i:02}.png", size=(21 + i, 30))
    return tmp_path / "pictures"


@pytest.fixture
def painted(tmp_path):
    """`painted(name, size)`: the path of a picture of noise."""

    def make(name, size=(12, 8)):
        width, height = size
        rng = np.random.default_rng(sum(name.encode()))
        noise = rng.integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / name)
        return str(tmp_path / name)

    return make
