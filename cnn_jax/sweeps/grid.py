"""Arms made from values of config keys, without an experiment's file.

A grid `{"optimizer.learning_rate": ("0.01", "0.1")}` has the arms `learning_rate=0.01`
and `learning_rate=0.1`. With several keys, the arms are all combinations of the values,
and their names have a part for each key: `learning_rate=0.01, hidden=(64,)`.
"""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence

from cnn_jax.core.errors import UserError
from cnn_jax.sweeps.arms import Arm

# Characters that an arm's name cannot have; see `arms.NAME`.
INVALID = re.compile(r"[^\w.,+=()% -]")


def arms(grid: Mapping[str, Sequence[str]]) -> list[Arm]:
    """Returns an arm for each combination of values. The first arm is the base arm.

    Args:
      grid: the texts of the values of each config key.

    Raises:
      UserError: if a key has a single value or a repeated value, if two values differ
        only in characters that a name cannot have, or if a key is the seed.
    """
    for key, texts in grid.items():
        if key == "seed":
            raise UserError(
                "--grid seed: a sweep sets the seed of each run: use --seeds=0,1,2."
            )
        if len(texts) < 2:
            raise UserError(
                f"--grid {key} has one value: give at least two, or leave out --grid "
                f"and use --config.{key}={texts[0] if texts else 'VALUE'}."
            )
    short = labels(grid)
    found: dict[str, Arm] = {}
    for texts in itertools.product(*grid.values()):
        values = dict(zip(grid, texts, strict=True))
        name = name_of(values, short)
        if name in found:
            raise UserError(
                f"--grid has two arms called '{name}': give each value once, and "
                "values that differ in more than special characters."
            )
        found[name] = Arm(name, values, against=next(iter(found), None))
    return list(found.values())


def labels(keys: Iterable[str]) -> dict[str, str]:
    """Returns a short name of each config key.

    The name of "optimizer.learning_rate" is "learning_rate", and the name of
    "model.name" is "model". Keys that would have the same name keep their full names.
    """
    short = {key: key.removesuffix(".name").rpartition(".")[2] for key in keys}
    names = list(short.values())
    return {k: name if names.count(name) == 1 else k for k, name in short.items()}


def name_of(values: Mapping[str, str], labels: Mapping[str, str]) -> str:
    """Returns the name of an arm, such as "learning_rate=0.1, hidden=(64,64)".

    Args:
      values: the texts of the arm's config values.
      labels: the short names of the keys, from `labels`.
    """
    parts = [f"{labels[k]}={''.join(text.split())}" for k, text in values.items()]
    return valid(", ".join(parts))


def valid(text: str) -> str:
    """Returns a text as the name of an arm: invalid characters become "-"."""
    return INVALID.sub("-", text).lstrip(" .,+=)%-").rstrip(" .") or "arm"
