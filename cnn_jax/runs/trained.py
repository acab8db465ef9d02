"""Trained runs, read from their folders, and other weights that a run starts from."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from cnn_jax import models, tasks
from cnn_jax.data.dataset import IMAGENET_MEAN, IMAGENET_STD, Dataset
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.weights import pretrained, torch_names, files
from cnn_jax.weights.pretrained import Loaded
from cnn_jax.weights.files import Normalization, Weights
from cnn_jax.training import setup
from cnn_jax.runs import folder
from cnn_jax.training.checkpoints import Checkpoints
from cnn_jax.training.config import Config


def has_checkpoint(workdir: Path, config: Config) -> bool:
    if not (workdir / "checkpoints").is_dir():
        return False
    with reader(workdir, config) as checkpoints:
        return bool(checkpoints.steps())


def reader(workdir: Path, config: Config) -> Checkpoints:
    directory = workdir / "checkpoints"
    if not directory.is_dir():
        raise UserError(f"there is no checkpoint in {workdir}: train the run first.")
    metric = tasks.find(config.task.name).best_metric
    return Checkpoints(directory, best_metric=f"test/{metric}", read_only=True)


def chosen_step(checkpoints: Checkpoints, name: str) -> int:
    """The step of the checkpoint called `best`, `last` or by its step."""
    steps = checkpoints.steps()
    if not steps:
        raise UserError(
            f"there is no checkpoint in {checkpoints.directory}: train the run first."
        )
    if name == "last":
        return steps[-1]
    if name == "best":
        best = checkpoints.best_step()
        return steps[-1] if best is None else best
    if not name.isdigit() or int(name) not in steps:
        raise unknown("checkpoint", name, ["best", "last", *map(str, steps)])
    return int(name)


def restore(
    checkpoints: Checkpoints, step: int, network: setup.Network, config: Config
) -> Any:
    """The variables that evaluation applies, on every device."""
    like = jax.eval_shape(functools.partial(setup.fresh_state, config, network))
    if like.ema is not None:
        return checkpoints.restore(step, {"ema": like.ema})[0]["ema"]
    return checkpoints.restore(step, like.variables())[0]


def weights(workdir: Path, checkpoint: str = "best") -> Weights:
    """The variables that evaluation applies, of a run's checkpoint.

    Raises:
      UserError: the folder is not a run's, or has no such checkpoint.
    """
    config, dataset = folder.saved_config(workdir), folder.saved_dataset(workdir)
    network = setup.network(config, dataset)
    with reader(workdir, config) as checkpoints:
        step = chosen_step(checkpoints, checkpoint)
        variables = restore(checkpoints, step, network, config)
    arrays = flatten_dict(jax.device_get(variables), sep="/")
    return Weights(
        {key: np.asarray(value) for key, value in arrays.items()},
        {"model": config.model.name, "step": step, "classes": dataset.classes},
        Normalization(dataset.mean, dataset.std),
    )


def initial(config: Config) -> Weights:
    """What `config.model.init_from` names: see `files.read`, or a run's folder.

    Files with torchvision's names that do not say how images are normalized are taken
    for what torchvision offers.

    Raises:
      UserError: there is no such thing, or it cannot be read.
    """
    place = config.model.init_from
    if (Path(place) / "config.json").exists():
        return weights(Path(place))
    found = files.read(place)
    if found.facts is not None or found.normalization is not None:
        return found
    mean, std = IMAGENET_MEAN[3], IMAGENET_STD[3]
    if torch_names.rescales(models.parts(config.model.name)[1]):
        mean = std = (0.5, 0.5, 0.5)
    return dataclasses.replace(found, normalization=Normalization(mean, std))


def fitted(
    initial: Weights, config: Config, network: setup.Network, classes: Sequence[str]
) -> Loaded:
    """The part of the weights of `config.model.init_from` that the network has.

    Raises:
      UserError: as `pretrained.fit`.
    """
    return pretrained.fit(
        initial,
        config.model.init_from,
        config.model.name,
        network.model,
        network.image_shape,
        classes,
    )


def normalized(
    dataset: Dataset, config: Config, initial: Weights
) -> tuple[Dataset, str | None]:
    """The data as the weights expect it, and a warning where the config wants other."""
    expected = initial.normalization
    if expected is None or len(expected.mean) != dataset.image_shape[-1]:
        return dataset, None
    if config.data.normalization is None:
        return dataclasses.replace(dataset, mean=expected.mean, std=expected.std), None
    given = Normalization(dataset.mean, dataset.std)
    if np.allclose(given, expected, atol=1e-3):
        return dataset, None
    return dataset, (
        f"{config.model.init_from} expects images normalized by mean "
        f"{_short(expected.mean)} and standard deviation {_short(expected.std)}, and "
        f"config.data.normalization={config.data.normalization} means "
        f"{_short(given.mean)} and {_short(given.std)}."
    )


def _short(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.3f}" for value in values) + ")"
