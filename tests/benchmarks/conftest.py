"""Fixtures of the tests of several benchmarks."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def pets(tmp_path):
    """dir/<class>/*: ten cats and five dogs, of which twelve are trained on."""
    rng = np.random.default_rng(0)
    for name, count in (("cat", 10), ("dog", 5)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(count):
            noise = rng.integers(0, 256, (16, 20, 3), np.uint8)
            kind = ("png", "jpg")[i % 2]
            Image.fromarray(noise).save(tmp_path / "pets" / name / f"{i}.{kind}")
    (tmp_path / "pets" / "cat" / "notes.txt").touch()
    return tmp_path / "pets"
