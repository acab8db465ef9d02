"""Real data, small folders of pictures, and a small prepared TFDS set."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


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
    """Writes a picture of noise, or of one grey, and the folders above it."""

    def write_picture(path, size=(20, 16), value=None, mode="RGB", **options):
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(len(path.parts) + sum(path.name.encode()))
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
def prepared(tmp_path_factory):
    """A TFDS set "shapes" of JPEGs of many sizes, prepared on the spot."""
    import tensorflow_datasets as tfds

    class Shapes(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = Path(__file__).parent

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(
                    {
                        "image": tfds.features.Image(
                            shape=(None, None, 3), encoding_format="jpeg"
                        ),
                        "label": tfds.features.ClassLabel(names=["dark", "light"]),
                    }
                ),
                supervised_keys=("image", "label"),
            )

        def _split_generators(self, dl_manager):
            return {
                "train": self._generate_examples(12),
                "validation": self._generate_examples(4),
            }

        def _generate_examples(self, count):
            for i in range(count):
                size = (40 + i, 30 + 2 * i)
                image = Image.new("RGB", size, (200 * (i % 2),) * 3)
                yield i, {"image": image, "label": i % 2}

    folder = tmp_path_factory.mktemp("tensorflow_datasets")
    builder = Shapes(data_dir=str(folder), file_format="array_record")
    builder.download_and_prepare()
    return str(folder)
