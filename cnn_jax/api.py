"""The Python API: train a config, load a run, create a network, run a sweep.

    import cnn_jax

    cnn_jax.train("configs/mlp.py", "runs/mlp", overrides={"train.epochs": 5})
    cnn_jax.load("runs/mlp").predict("digit.png")

`import cnn_jax` is fast: JAX is imported when one of these functions is first used.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import flax.linen as nn
from ml_collections import ConfigDict, FrozenConfigDict

from cnn_jax import models
from cnn_jax.runs import Loaded, load, resolve
from cnn_jax.runs import train as train_run
from cnn_jax.sweeps import experiment, results, runner, search
from cnn_jax.training import config as config_lib

__all__ = ["Loaded", "config", "create", "load", "sweep", "train"]

Recipe: TypeAlias = str | Path | Mapping[str, Any] | ConfigDict | FrozenConfigDict


def config(
    recipe: Recipe, overrides: Mapping[str, Any] | None = None, *, smoke: bool = False
) -> FrozenConfigDict:
    """Returns the resolved config of a recipe: every default is filled in.

    Args:
      recipe: a config file such as "configs/resnet.py" or "configs/resnet.py:cifar10",
        or the config itself, as returned by the file's `get_config`.
      overrides: config values that replace the recipe's values, by dotted key:
        `{"optimizer.learning_rate": 0.05}`.
      smoke: if True, shrinks the config to a few steps on a few embedded examples.

    Raises:
      UserError: if a key is unknown, or a value has the wrong type or is out of range.
    """
    if isinstance(recipe, str | Path):
        values: Mapping[str, Any] = config_lib.load_file(str(recipe))
    else:
        values = recipe if isinstance(recipe, Mapping) else recipe.to_dict()
    make = resolve.resolve_smoke if smoke else resolve.resolve
    texts = {key: experiment.as_text(value) for key, value in (overrides or {}).items()}
    return make(values, texts)


def train(
    recipe: Recipe,
    workdir: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    smoke: bool = False,
    tags: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Trains a run until it is complete. An interrupted run is resumed.

    Args:
      recipe, overrides, smoke: see `config`.
      workdir: the run's folder. A complete run is not trained again.
      overwrite: if True, first removes the run in the folder.
      tags: names and values for TensorBoard's HParams table and config.json.

    Returns:
      The results of the run, as in results.json.

    Raises:
      UserError: if the config or the data is wrong, or if the folder holds a run with
        another config. The folder is left unchanged.
    """
    made = config(recipe, overrides, smoke=smoke)
    return train_run(made, Path(workdir), overwrite=overwrite, tags=tags)


def create(name: str, **attributes: Any) -> nn.Module:
    """Creates a model.

    Args:
      name: the model's name, such as "resnet18", or its import path.
      attributes: `num_classes`, `dtype` and other attributes of the model; see
        `models.create`.
    """
    return models.create(name, **attributes)


def sweep(
    file: str,
    workdir: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = experiment.SEEDS,
    arms: str | None = None,
    smoke: bool = False,
    cores_per_run: int = 1,
    margin: float | None = None,
    trials: int | None = None,
) -> list[results.Row]:
    """Trains all runs of an experiment on this machine, and writes the report.

    An experiment compares several arms. An arm is one setting of the config, trained
    with several seeds.

    Args:
      file: an experiment's file, "experiments/pooling.py" or "PATH.py:ARG".
      workdir: the sweep's folder. Complete runs are not trained again.
      overrides, smoke: see `config`. Both apply to all arms.
      seeds: the seeds of each arm.
      arms: a regular expression that selects arms by name; None selects all arms.
      cores_per_run: CPU cores for each run.
      margin: see the flag --margin of the command `sweep`; None: no verdicts.
      trials: the number of trials of a search, or of each arm with `tune`; None: 30 of
        a search, and 10 of an arm.

    Returns:
      One row for each run, with the run, its outcome and its results.

    Raises:
      UserError: if the experiment or its config is wrong, or a run fails.
    """
    workdir = Path(workdir)
    read = functools.partial(
        experiment.load,
        file,
        workdir,
        overrides={k: experiment.as_text(v) for k, v in (overrides or {}).items()},
        seeds=tuple(seeds),
        only=arms,
        smoke=smoke,
        trials=trials,
    )
    found = read()
    runs = [] if found.searching else experiment.incomplete(found.in_order)
    launched = runner.launcher("local", cores_per_run=cores_per_run)
    if found.searches:
        search.complete(found, launched, workdir)
        found = read()
        runs = experiment.incomplete(found.in_order)
    runner.complete(found, runs, launched, workdir=workdir, margin=margin)
    return results.read(found)
