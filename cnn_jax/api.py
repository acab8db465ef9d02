"""The Python API: train a config, load a run, create a network, run a sweep.

    import cnn_jax

    cnn_jax.train("configs/mlp.py", "runs/mlp", overrides={"train.epochs": 5})
    cnn_jax.load("runs/mlp").predict("digit.png")

`import cnn_jax` is fast: JAX is imported when one of these functions is first used.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import flax.linen as nn
from ml_collections import ConfigDict, FrozenConfigDict

from cnn_jax import models
from cnn_jax.core.errors import UserError
from cnn_jax.runs import Loaded, load, resolve
from cnn_jax.runs import train as train_run
from cnn_jax.sweeps import comparison, prepare, protocol, results, runner
from cnn_jax.sweeps.run import as_text, texts
from cnn_jax.sweeps.searches import search
from cnn_jax.sweeps.step_times import Stopwatch
from cnn_jax.training import config as config_lib

__all__ = ["Loaded", "compare", "config", "create", "load", "sweep", "train"]

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
    return make(values, texts(overrides or {}))


def train(
    recipe: Recipe,
    workdir: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    extend: bool = False,
    smoke: bool = False,
    tags: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Trains a run until it is complete. An interrupted run is resumed.

    Args:
      recipe, overrides, smoke: see `config`.
      workdir: the run's folder. A complete run is not trained again.
      overwrite: if True, first removes the run in the folder.
      extend: if True, trains the run in the folder further: to the length, and with the
        schedule, of the config.
      tags: names and values for TensorBoard's HParams table and config.json.

    Returns:
      The results of the run, as in results.json.

    Raises:
      UserError: if the config or the data is wrong, or if the folder holds a run with
        another config. The folder is left unchanged.
    """
    made = config(recipe, overrides, smoke=smoke)
    return train_run(made, Path(workdir), overwrite=overwrite, extend=extend, tags=tags)


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
    grid: Mapping[str, Sequence[Any]] | None = None,
    seeds: int | Sequence[int] | None = None,
    arms: str | None = None,
    smoke: bool = False,
    cores_per_run: int = 1,
    runs_per_device: int | None = None,
    margin: float | None = None,
    until: Literal["decided"] | None = None,
    max_seeds: int = prepare.MAXIMUM,
    trials: int | None = None,
) -> list[results.Row]:
    """Trains all runs of an experiment on this machine, and writes the report.

    An experiment compares several arms. An arm is one setting of the config, trained
    with several seeds.

    Args:
      file: an experiment's file, "experiments/pooling.py" or "PATH.py:ARG". With
        `grid`, a config file.
      workdir: the sweep's folder. Complete runs are not trained again.
      overrides, smoke: see `config`. Both apply to all arms.
      grid: values of config keys, `{"optimizer.learning_rate": [0.01, 0.1]}`. The arms
        are all combinations of the values, and the first arm is the base arm. None: the
        arms of the experiment's file.
      seeds: the number of seeds of each arm, or a list of seeds. None: ten seeds for
        embedded data, otherwise three.
      arms: a regular expression that selects arms by name; None selects all arms.
      cores_per_run: CPU cores for each run, on a machine without a GPU.
      runs_per_device: the number of runs that share a GPU; None: one.
      margin: see the flag --margin of the command `sweep`; None: no verdicts.
      until: "decided" adds seeds until each arm has a verdict; None trains all seeds.
      max_seeds: the largest number of seeds with until="decided".
      trials: the number of trials of a search, or of each arm with `tune`; None: 30 of
        a search, and 10 of an arm.

    Returns:
      One row for each run of the report, with the run, its outcome and its results.

    Raises:
      UserError: if the experiment or its config is wrong, or a run fails.
    """
    workdir = Path(workdir)
    load = functools.partial(
        prepare.load,
        file,
        workdir,
        overrides=texts(overrides or {}),
        grid={key: [*map(as_text, values)] for key, values in (grid or {}).items()},
        seeds=_seeds(seeds, until, max_seeds),
        only=arms,
        smoke=smoke,
        margin=margin,
        max_seeds=max_seeds if until else None,
        trials=trials,
    )
    with Stopwatch(cores_per_run) as stopwatch:
        found, plan = load(timer=stopwatch)
    launched = runner.launcher(
        "local", cores_per_run=cores_per_run, runs_per_device=runs_per_device
    )
    if found.searches:
        search.complete(found, launched, workdir)
        found, plan = load()
    return runner.complete(found, plan, launched, workdir=workdir)


def compare(
    runs: Sequence[str | Path],
    workdir: str | Path = "runs/comparison",
    *,
    margin: float | None = None,
) -> list[results.Row]:
    """Writes the report of a sweep for runs that no sweep trained.

    Runs whose configs differ in nothing but the seed are the seeds of one arm. Nothing
    is written into the runs' folders.

    Args:
      runs: the runs' folders. The arm of the first run is the base arm, which the other
        arms are compared to.
      workdir: the folder of the report.
      margin: see `sweep`.

    Returns:
      One row for each run, with the run, its outcome and its results.

    Raises:
      UserError: if a folder holds no run, if the runs cannot be compared, or if a run
        is not complete. The report is written before the last of these errors.
    """
    workdir = Path(workdir)
    found = comparison.of([Path(run) for run in runs], workdir)
    return runner.report(found, workdir, None, protocol.make(found, margin=margin))


def _seeds(
    seeds: int | Sequence[int] | None, until: str | None, most: int
) -> tuple[int, ...] | None:
    """Returns the seeds of `sweep`, or None for the default.

    Raises:
      UserError: if the seeds are not possible, or `until` is unknown.
    """
    if until not in (None, "decided"):
        raise UserError(f'until is {until!r}: set until="decided" or None.')
    if until and seeds is not None:
        raise UserError(
            'until="decided" adds the seeds itself: set max_seeds instead of seeds.'
        )
    if until and most < 2:
        raise UserError(f"max_seeds is {most}: set a number of at least 2 seeds.")
    if seeds is None:
        return None
    found = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not found or min(found) < 0 or len(set(found)) < len(found):
        raise UserError(
            f"seeds is {seeds!r}: set a number of seeds of at least 1, or a list with "
            "each seed once, such as [0, 1, 2]."
        )
    return found
