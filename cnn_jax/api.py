"""The package from Python: train, load a run, make a network, sweep.

    import cnn_jax

    cnn_jax.train("configs/mlp.py", "runs/mlp", overrides={"train.epochs": 5})
    cnn_jax.load("runs/mlp").predict("digit.png")

`import cnn_jax` offers these functions without the seconds that JAX takes to import.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import flax.linen as nn
from ml_collections import ConfigDict, FrozenConfigDict

from cnn_jax import models
from cnn_jax.runs import Loaded, load, resolve
from cnn_jax.runs import train as train_run
from cnn_jax.sweeps import experiment, results, runner
from cnn_jax.training import config as config_lib

__all__ = ["Loaded", "config", "create", "load", "sweep", "train"]

Recipe: TypeAlias = str | Path | Mapping[str, Any] | ConfigDict | FrozenConfigDict


def config(
    recipe: Recipe, overrides: Mapping[str, Any] | None = None, *, smoke: bool = False
) -> FrozenConfigDict:
    """Returns the resolved config of a recipe.

    Args:
      recipe: a config file, "configs/resnet.py" or "configs/resnet.py:cifar10", or a
        config, such as `get_config` of one returns.
      overrides: values by dotted key: `{"optimizer.learning_rate": 0.05}`.
      smoke: shrinks the config to a few steps on a few embedded examples.

    Raises:
      UserError: an unknown key, or a value of the wrong type or out of its range.
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
    """Trains a recipe in a run's folder, to the end, or from where it was ended.

    Args:
      recipe, overrides, smoke: see `config`.
      workdir: the run's folder. A complete run is not trained again.
      overwrite: removes the run in the folder first.
      tags: names and values for TensorBoard's HParams table and config.json.

    Returns:
      The results of the run, as results.json keeps them.

    Raises:
      UserError: a mistake in the config or the data, found before the folder is
        touched; or the folder holds another run.
    """
    made = config(recipe, overrides, smoke=smoke)
    return train_run(made, Path(workdir), overwrite=overwrite, tags=tags)


def create(name: str, **attributes: Any) -> nn.Module:
    """Returns the model of a name, such as "resnet18", or of an import path.

    Args:
      attributes: `num_classes`, `dtype` and those of the model: see `models.create`.
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
) -> list[results.Row]:
    """Trains the arms of an experiment on this machine, and writes report.md.

    Args:
      file: an experiment's file, "experiments/pooling.py" or "PATH.py:ARG".
      workdir: the sweep's folder. Complete runs are not trained again.
      overrides, smoke: see `config`; for all arms.
      seeds: the seeds of each arm.
      arms: a regular expression for names of arms; None: all of them.
      cores_per_run: processor cores for each run on a CPU.

    Returns:
      A row for each run: the run, its outcome and its results.

    Raises:
      UserError: as the command `sweep`.
    """
    workdir = Path(workdir)
    found = experiment.load(
        file,
        workdir,
        overrides={k: experiment.as_text(v) for k, v in (overrides or {}).items()},
        seeds=tuple(seeds),
        only=arms,
        smoke=smoke,
    )
    runs = experiment.incomplete(found.in_order)
    launched = runner.launcher("local", cores_per_run=cores_per_run)
    runner.complete(found, runs, launched, workdir=workdir)
    return results.read(found)
