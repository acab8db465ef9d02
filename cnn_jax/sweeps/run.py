"""A run of a sweep: an arm with a seed, in its own folder."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn_jax.core.errors import UserError
from cnn_jax.runs import resolve, run_folder
from cnn_jax.sweeps.arms import SOURCE
from cnn_jax.training.config import Config


@dataclass(frozen=True)
class Run:
    """A run of an arm with a seed, in its own folder.

    Attributes:
      arm: the name of the arm.
      seed: the seed.
      config: the resolved config.
      workdir: the run's folder.
      command: the command that trains or resumes the run; empty if no sweep trains it.
      title: the name of the run on the console; "" for `<arm>/seed<k>`.
    """

    arm: str
    seed: int
    config: Config
    workdir: Path
    command: tuple[str, ...] = ()
    title: str = ""

    @property
    def name(self) -> str:
        """The name of the run on the console."""
        named = self.arm if self.is_source else f"{self.arm}/seed{self.seed}"
        return self.title or named

    @property
    def is_source(self) -> bool:
        """True if the other runs start from the weights of this run."""
        return self.arm == SOURCE


@dataclass(frozen=True)
class Recipe:
    """The config file and the values that all runs of an experiment share.

    Attributes:
      spec: the config file, `PATH.py` or `PATH.py:ARG`.
      values: the values of the file's config.
      shared: texts of the config values that all runs set.
      overrides: texts of the config values of the command line; arms set other values.
      seeded: the config keys that have the seed of the run as their value.
      smoke: whether runs are shrunk to a few steps on a few embedded examples.
      overwrite: whether a run that is already in its folder is removed first.
    """

    spec: str
    values: Mapping[str, Any]
    shared: Mapping[str, str]
    overrides: Mapping[str, str]
    seeded: tuple[str, ...]
    smoke: bool
    overwrite: bool

    def config(self, values: Mapping[str, Any]) -> Config:
        """Returns the resolved config of an arm, with the seed of the file.

        Args:
          values: the config values that the arm sets.
        """
        return self._resolved({**self.shared, **texts(values)})

    def run(
        self,
        arm: str,
        values: Mapping[str, Any],
        seed: int,
        place: Path,
        more: Mapping[str, str] | None = None,
    ) -> Run:
        """Returns the run of an arm with a seed.

        Args:
          arm: the name of the arm.
          values: the config values that the arm sets.
          seed: the seed.
          place: the run's folder.
          more: texts of further config values, which replace all others.

        Raises:
          UserError: if the arm sets a key that nothing reads, a value out of its range,
            or a value that the command line sets too.
        """
        if both := sorted(values.keys() & self.overrides.keys()):
            raise UserError(
                f"arm '{arm}' already sets config.{both[0]}: leave out "
                f"--config.{both[0]}."
            )
        given = {**self.shared, **texts(values)}
        given |= {**dict.fromkeys(self.seeded, str(seed)), **(more or {})}
        try:
            return self.given(arm, place, given)
        except UserError as error:
            raise UserError(f"arm '{arm}': {error}") from error

    def given(self, arm: str, place: Path, given: Mapping[str, str]) -> Run:
        """Returns a run in a folder.

        Args:
          arm: the name of the run's arm.
          place: the run's folder.
          given: texts of all config values that differ from the file's.

        Raises:
          UserError: if nothing reads a key, or a value is out of its range.
        """
        config = self._resolved(given)
        command = (
            *(sys.executable, "-m", "cnn_jax.main"),
            f"--config={self.spec}",
            f"--workdir={place}",
            f"--tag=arm={arm}",
            *(["--smoke"] if self.smoke else []),
            *(["--overwrite"] if self.overwrite else []),
            *(f"--config.{key}={text}" for key, text in given.items()),
        )
        return Run(arm, config.seed, config, place, command)

    def _resolved(self, given: Mapping[str, str]) -> Config:
        make = resolve.resolve_smoke if self.smoke else resolve.resolve
        return make(self.values, given)


def incomplete(runs: Sequence[Run]) -> list[Run]:
    """Returns the runs that are not complete.

    Raises:
      UserError: if a run's folder holds a run with another config. Then the arm has
        changed since. The message names the differing keys.
    """
    missing = []
    for run in runs:
        try:
            begun = run_folder.begun(run.workdir, run.config)
        except UserError as error:
            raise UserError(
                f"arm '{run.arm}' has changed: {error} (In a sweep, move {run.workdir} "
                "away instead of using --overwrite.)"
            ) from error
        if begun is None or begun.results is None:  # training rewrites damaged results
            missing.append(run)
    return missing


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Returns config values as texts for the command line, by key."""
    return {key: as_text(value) for key, value in values.items()}


def as_text(value: Any) -> str:
    """Returns a config value as text for the command line."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else repr(value)


def short_text(value: Any) -> str:
    """Returns a config value as text for people: a float has four digits."""
    return f"{value:.4g}" if type(value) is float else as_text(value)


def shell_line(command: Sequence[str]) -> str:
    """Returns a command as one line for a shell, with quotes where needed."""
    return shlex.join(command)
