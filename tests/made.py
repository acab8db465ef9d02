"""A run's folder without training, and the values that it was made of."""

import dataclasses
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from cnn_jax.data import digits
from cnn_jax.runs import config_json
from cnn_jax.runs.resolve import resolve
from cnn_jax.training import parallel, setup
from cnn_jax.training.checkpoints import Checkpoints
from cnn_jax.training.progress import Progress

VALUES = {
    "data": {
        "name": "digits",
        "batch_size": 8,
        "train_examples": 24,
        "test_examples": 20,
        "val": 16,
    },
    "model": {"name": "plain", "widths": (2,)},
    "task": {"name": "classification"},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "schedule": {"name": "constant"},
    "train": {"steps": 4},
    "eval": {"every_steps": 2},
}
# Of the checkpoints after so many steps; the first is the best.
SCORES = {2: 0.9, 4: 0.5}


class Unlisted:
    """A reader that does not know the labels of its examples."""

    paths = None

    def __len__(self):
        return 4

    def labels(self):
        return None

    def read(self, indices):
        raise AssertionError

    def joined(self, other):
        raise AssertionError


@pytest.fixture(scope="session")
def values():
    """`values(group={key: value})`: those of the run, some of them changed."""

    def change(**groups):
        names = VALUES.keys() | groups.keys()
        return {name: VALUES.get(name, {}) | groups.get(name, {}) for name in names}

    return change


@pytest.fixture(scope="session")
def few_digits():
    return digits.SOURCE.load(train_examples=24, test_examples=20, val=16)


@pytest.fixture(scope="session")
def made(tmp_path_factory, values, few_digits):
    """A run whose parameters were drawn, with moving averages that differ from them:
    `workdir`, `config`, `dataset`, `network`, and the `states` by step."""
    folder = tmp_path_factory.mktemp("made") / "run"
    config = resolve(values(optimizer={"ema_decay": 0.5}))
    network = setup.network(config, few_digits)
    config_json.describe(folder, config, few_digits, {})
    metric = f"val/{network.task.best_metric}"
    states = {}
    with Checkpoints(folder / "checkpoints", best_metric=metric, keep=2) as checkpoints:
        fresh = network.fresh_state()
        for step, score in SCORES.items():
            rng = np.random.default_rng(step)
            ema = {
                "params": _random(rng, fresh.params),
                "batch_stats": fresh.batch_stats,
            }
            states[step] = parallel.replicate(
                dataclasses.replace(fresh, step=jnp.int32(step), ema=ema)
            )
            progress = Progress({}, metric).saved()
            checkpoints.save(step, states[step], progress, {metric: score})
    return SimpleNamespace(
        workdir=folder,
        config=config,
        dataset=few_digits,
        network=network,
        states=states,
    )


def _random(rng, tree):
    if isinstance(tree, dict):
        return {key: _random(rng, value) for key, value in tree.items()}
    return jnp.asarray(rng.standard_normal(tree.shape), tree.dtype)


@pytest.fixture
def write_digits(few_digits, tmp_path):
    """`write_digits(count)`: that many test pictures in files, and their pixels."""

    def write(count):
        pixels = few_digits.splits["test"].images[:count]
        files = [tmp_path / "digits" / f"{number:02}.png" for number in range(count)]
        files[0].parent.mkdir()
        for file, image in zip(files, pixels, strict=True):
            Image.fromarray(image[..., 0]).save(file)
        return files, pixels

    return write


def logits_of(made, step, pixels):
    x = (pixels / 255 - np.array(made.dataset.mean)) / np.array(made.dataset.std)
    return made.network.model.apply(
        made.states[step].ema, jnp.asarray(x, jnp.float32), train=False
    )


def flipped(path, seed, count):
    """The file with one bit flipped, `count` times, at places all over it."""
    whole = path.read_bytes()
    places = np.random.default_rng(seed).integers(0, 8 * len(whole), count)
    for place in places:
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        yield
    path.write_bytes(whole)
