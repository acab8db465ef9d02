"""The same pictures through torchvision and PyTorch's DataLoader."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_jax import data
from cnn_jax.benchmarks import torch_input
from cnn_jax.data.splits import Encoded, Records


@pytest.fixture
def torchvision():
    pytest.importorskip("torch")
    return pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))


def split_of(pets, **options):
    options = {"image_size": 8, "random_crop": (0.08, 1.0)} | options
    return data.load("folder", dir=str(pets), **options).splits["train"]


def test_it_costs_no_import():
    """The processes of a DataLoader import it, and none of them needs JAX."""
    text = Path(torch_input.__file__).read_text(encoding="utf-8")
    top = [line for line in text.splitlines() if line.startswith(("import", "from"))]
    assert not [line for line in top if "jax" in line.replace("cnn_jax", "")]
    assert not [line for line in top if "torch" in line]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_peer_has_the_same_pictures(torchvision, pets, channels):
    split = split_of(pets, channels=channels)
    dataset = torch_input.dataset(split)
    assert isinstance(dataset, torchvision.datasets.ImageFolder)
    assert {path for path, _ in dataset.samples} == set(split.reader.paths)
    batches = torch_input.batches(split, batch_size=4, workers=0, stop_step=7)
    images = [images.numpy() for images, _ in batches]
    assert len(images) == 7
    shape = (4, 8, 8, 3)[: 3 + (channels == 3)]
    assert {(array.shape, str(array.dtype)) for array in images} == {(shape, "uint8")}


def test_the_peer_takes_the_center(torchvision, pets):
    split = split_of(pets, random_crop=None, in_memory=False)
    assert {image.shape for image, _ in torch_input.dataset(split)} == {(8, 8, 3)}


def test_the_peer_keeps_to_a_part(torchvision, pets, monkeypatch):
    monkeypatch.chdir(pets)
    split = split_of(".", train_examples=5)
    assert len(torch_input.dataset(split)) == 5


@dataclasses.dataclass(frozen=True)
class InBytes:
    """Reads pictures of one gray, the number of each."""

    def __len__(self):
        return 6

    def labels(self):
        return np.arange(6, dtype=np.int32)

    def read(self, indices):
        for i in indices:
            file = io.BytesIO()
            Image.new("RGB", (9, 7), (i, i, i)).save(file, "png")
            yield Encoded(file.getvalue(), i, str(i))


def test_the_peer_reads_encoded_pictures(torchvision):
    whole = Records(InBytes(), (7, 9, 3))
    found = torch_input.dataset(whole).__getitems__([4, 2])
    assert [(image.shape, label) for image, label in found] == [
        ((7, 9, 3), 4),
        ((7, 9, 3), 2),
    ]
    assert all(np.all(image == label) for image, label in found)
    part = Records(
        InBytes(), (4, 5, 3), crop_area=(0.08, 1.0), indices=np.array([5, 1])
    )
    (images, labels), _ = torch_input.batches(
        part, batch_size=2, workers=0, stop_step=2
    )
    assert images.shape == (2, 4, 5, 3) and sorted(labels.tolist()) == [1, 5]
