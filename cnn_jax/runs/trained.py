"""Reads trained runs from their folders, and the weights that a run starts from."""

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from cnn_jax import models, tasks
from cnn_jax.core.errors import DataWarning, UserError, unknown
from cnn_jax.data.dataset import IMAGENET_MEAN, IMAGENET_STD, Dataset
from cnn_jax.models.network import described
from cnn_jax.runs import config_json, migration
from cnn_jax.runs.config_json import Saved
from cnn_jax.training import setup
from cnn_jax.training.checkpoints import Checkpoints
from cnn_jax.training.config import Config
from cnn_jax.weights import pretrained, weight_files
from cnn_jax.weights.weight_files import Normalization, Weights


def newest_step(workdir: Path) -> int | None:
    """Returns the step of the newest checkpoint in a run's folder, or None."""
    if not (workdir / "checkpoints").is_dir():
        return None
    directory = workdir / "checkpoints"
    with Checkpoints(directory, best_metric=None, read_only=True) as checkpoints:
        return max(checkpoints.steps(), default=None)


def chosen_on(saved: Saved) -> str | None:
    """Returns the split on which a run chooses its best checkpoint.

    The result is "val"; "test" for runs of versions without validation splits; or None
    if the run chooses no checkpoint.
    """
    if saved.content.get("schema", 1) < migration.ROLES:
        return "test"
    return "val" if "val" in saved.content["dataset"]["examples"] else None


def reader(saved: Saved) -> Checkpoints:
    """Opens the checkpoints in a run's folder for reading.

    Args:
      saved: the content of the run's config.json, which tells which checkpoint is best.

    Raises:
      UserError: if the folder has no checkpoints.
    """
    directory = saved.workdir / "checkpoints"
    if not directory.is_dir():
        raise UserError(
            f"there is no checkpoint in {saved.workdir}: train the run first."
        )
    split, metric = chosen_on(saved), tasks.find(saved.config.task.name).best_metric
    best_metric = f"{split}/{metric}" if split else None
    return Checkpoints(directory, best_metric=best_metric, read_only=True)


def chosen_step(checkpoints: Checkpoints, name: str | None) -> int:
    """Returns the number of training steps of a checkpoint.

    A warning is given if an old version chose the best checkpoint on the test split.

    Args:
      checkpoints: a run's checkpoints.
      name: "best", "last" or a number of steps; None: the best checkpoint or, if the
        run chose none, the last one.

    Raises:
      UserError: if there is no such checkpoint.
    """
    steps = checkpoints.steps()
    if not steps:
        raise UserError(
            f"there is no checkpoint in {checkpoints.directory}: train the run first."
        )
    chosen_on = (checkpoints.best_metric or "").partition("/")[0]
    if name == "last" or (name is None and not chosen_on):
        return steps[-1]
    if name == "best" and not chosen_on:
        raise UserError(
            f"the run in {checkpoints.directory.parent} has no validation split, so it "
            "has no best checkpoint: take --checkpoint=last, or train a run with "
            "config.data.val=0.1."
        )
    if name in ("best", None):
        best = checkpoints.best_step()
        if best is not None and chosen_on == "test":
            text = (
                "an older version of cnn_jax chose the best checkpoint in "
                f"{checkpoints.directory} on the test split, so its test metrics are "
                "too good."
            )
            warnings.warn(DataWarning(text), stacklevel=2)
        return steps[-1] if best is None else best
    if not name.isdigit() or int(name) not in steps:
        raise unknown("checkpoint", name, ["best", "last", *map(str, steps)])
    return int(name)


def restore(checkpoints: Checkpoints, step: int, network: setup.Network) -> Any:
    """Returns a checkpoint's variables for evaluation, replicated on all devices.

    If the run keeps moving averages of its parameters, these are returned.

    Args:
      checkpoints: a run's checkpoints.
      step: the number of training steps of the checkpoint.
      network: the run's network.
    """
    return checkpoints.variables(step, network.state_shapes)


def variables_of(
    saved: Saved, network: setup.Network, checkpoint: str | None
) -> tuple[int, Any]:
    """Returns a checkpoint's number of training steps and variables for evaluation.

    Args:
      saved: the content of the run's config.json.
      network: the run's network.
      checkpoint: see `chosen_step`.

    Raises:
      UserError: if there is no such checkpoint.
    """
    with reader(saved) as checkpoints:
        step = chosen_step(checkpoints, checkpoint)
        return step, restore(checkpoints, step, network)


def weights(workdir: Path, checkpoint: str | None = None) -> Weights:
    """Returns the weights that evaluation uses, from a run's checkpoint.

    Raises:
      UserError: if the folder holds no run, or has no such checkpoint.
    """
    saved = config_json.read(workdir)
    config, dataset = saved.config, saved.dataset
    network = setup.network(config, dataset)
    step, variables = variables_of(saved, network, checkpoint)
    arrays = flatten_dict(jax.device_get(variables), sep="/")
    return Weights(
        {key: np.asarray(value) for key, value in arrays.items()},
        {
            "model": config.model.name,
            "step": step,
            "classes": dataset.classes,
            "norm": described(network.model).norm_name,
        },
        Normalization(tuple(dataset.mean), tuple(dataset.std)),
    )


def initial(config: Config) -> Weights:
    """Returns the weights of `config.model.init_from`, a run's folder or a file.

    A file with torchvision's parameter names that does not state its normalization is
    assumed to come from torchvision.

    Raises:
      UserError: if the path does not exist or cannot be read.
    """
    place = config.model.init_from
    if (Path(place) / "config.json").exists():
        return weights(Path(place))
    found = weight_files.read(place)
    if found.facts is not None or found.normalization is not None:
        return found
    own = models.spec_of(models.parts(config.model.name)[1]).normalization
    normalization = Normalization(*(own or (IMAGENET_MEAN[3], IMAGENET_STD[3])))
    return dataclasses.replace(found, normalization=normalization)


def started(
    config: Config, dataset: Dataset
) -> tuple[Dataset, setup.Network, Mapping[str, Any], list[str]]:
    """Makes the network of a run that starts from `config.model.init_from`.

    Returns:
      A tuple of four: the data set with the normalization that the weights expect, the
      network, the variables taken from the weights, and the lines to print on the
      console.

    Raises:
      UserError: as `initial` and `pretrained.fit`.
    """
    weights = initial(config)
    dataset, warning = normalized(dataset, config, weights)
    network = setup.network(config, dataset)
    loaded = pretrained.fit(
        weights,
        config.model.init_from,
        config.model.name,
        network.model,
        network.image_shape,
        dataset.classes,
    )
    lines = [loaded.report] + ([f"warning: {warning}"] if warning else [])
    return dataset, network, loaded.variables, lines


def normalized(
    dataset: Dataset, config: Config, initial: Weights
) -> tuple[Dataset, str | None]:
    """Gives a data set the normalization that the weights expect.

    A normalization set by `config.data.normalization` is kept.

    Returns:
      The data set, and a warning if the config sets another normalization than the
      weights expect; otherwise None.
    """
    expected = initial.normalization
    if expected is None or len(expected.mean) != dataset.image_shape[-1]:
        return dataset, None
    if config.data.normalization is None:
        return dataclasses.replace(dataset, mean=expected.mean, std=expected.std), None
    given = Normalization(tuple(dataset.mean), tuple(dataset.std))
    if np.allclose(given, expected, atol=1e-3):
        return dataset, None
    return dataset, (
        f"{config.model.init_from} expects images normalized by mean "
        f"{_short(expected.mean)} and standard deviation {_short(expected.std)}, but "
        f"config.data.normalization={config.data.normalization} uses "
        f"{_short(given.mean)} and {_short(given.std)}. Leave out "
        "config.data.normalization to use the normalization of the weights."
    )


def _short(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.3f}" for value in values) + ")"
