"""The folder of a run that has just begun."""

import pytest

from cnn_jax.data import digits
from cnn_jax.runs import config_json
from cnn_jax.runs.resolve import resolve
from cnn_jax.training.config import default


@pytest.fixture(scope="module")
def dataset():
    return digits.SOURCE.load(train_examples=40, test_examples=20)


@pytest.fixture
def config():
    return resolve(default().to_dict(), {"model.name": "mlp"})


@pytest.fixture
def folder(tmp_path, config, dataset):
    """The folder of a run that has just begun."""
    config_json.describe(tmp_path / "run", config, dataset, {})
    return tmp_path / "run"
