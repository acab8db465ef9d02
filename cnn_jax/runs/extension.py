"""The extension of a run: training goes on to a greater length.

An extension may change the length of the run, the learning rate with its schedule, and
the early stopping. All other values of the config stay as they are.
"""

from typing import Any

from cnn_jax.core.errors import UserError
from cnn_jax.runs.config_json import Saved
from cnn_jax.training import config as config_lib
from cnn_jax.training.config import Config

KEYS = {*(f"train.{unit}" for unit in config_lib.UNITS)}
KEYS |= {"train.patience", "train.min_delta", "optimizer.learning_rate"}
GROUP = "schedule."


def replaced(saved: Saved, config: Config) -> dict[str, Any] | None:
    """Returns the values of a run's config that an extension replaces, by key.

    The result is None if an extension cannot change the run's config into `config`.

    Args:
      saved: the content of the run's config.json.
      config: the config of the extended run.
    """
    ours, theirs = config_lib.identity(config), config_lib.identity(saved.config)
    keys = {key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key)}
    if not all(key in KEYS or key.startswith(GROUP) for key in keys):
        return None
    return {key: theirs.get(key) for key in sorted(keys)}


def part(
    saved: Saved, config: Config, results: dict[str, Any] | None
) -> dict[str, Any]:
    """Returns the record of a run before its extension, for config.json.

    The record has the replaced values of the config, the git commit and the results.

    Args:
      saved: the content of the run's config.json before the extension.
      config: the config of the extended run.
      results: the results of the run; None if the run was not complete.
    """
    return {
        "config": replaced(saved, config),
        "git_commit": saved.content.get("git_commit"),
        "results": results,
    }


def check(
    config: Config, before: Config, *, examples: int, done: int, complete: bool
) -> None:
    """Raises UserError if an extension would not train the run further.

    Args:
      config: the config of the extended run.
      before: the config before the extension.
      examples: the number of training examples.
      done: the number of training steps so far.
      complete: whether the run was complete before the extension.
    """
    sizes = {"batch_size": config.data.batch_size, "examples": examples}
    steps = config_lib.steps_in(config.train, "", **sizes) or 0
    if steps <= done:
        raise UserError(
            f"the run has {done:,} steps already, and the extended run would have "
            f"{steps:,}: set config.train.steps or config.train.epochs to a greater "
            "length."
        )
    planned = config_lib.steps_in(before.train, "", **sizes) or 0
    patience = before.train.patience
    if complete and patience == config.train.patience and done < planned:
        raise UserError(
            f"the run ended early at step {done:,} of {planned:,}, after {patience} "
            "evaluations without an improvement: set config.train.patience to a "
            "greater number, or to None."
        )
