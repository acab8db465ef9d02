"""The study of a search: the trials of an Optuna study, in a file of a folder.

A trial is one setting of the searched config values. Optuna proposes the values, and
the caller reports the scores of the trial's run on the validation split.
"""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from cnn_jax.core import disk, extras, records
from cnn_jax.core.errors import UserError
from cnn_jax.sweeps.arms import SEARCH
from cnn_jax.training import config as config_lib

FILE = "study.log"
NAME = "search"
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
# The asynchronous successive halving algorithm (ASHA, Li et al. 2020): a trial goes on
# after 25% and after 75% of its steps if its score there is among the best third.
# Earlier scores depend on the warm-up more than on the setting.
FIRST_RUNG, REDUCTION = 25, 3


@dataclass(frozen=True)
class Trial:
    """A trial of a search.

    Attributes:
      number: the number of the trial, from 0.
      state: "complete", "pruned", "failed" or "running".
      suggested: the values that the sampler proposed, by name.
      logarithmic: the names whose values are proposed on a logarithmic scale.
      values: the config values that the trial sets, by dotted key.
      score: the score on the validation split after the last step. For a pruned trial,
        the score when it was pruned. None if there is no score.
      reason: why the trial failed; otherwise empty.
    """

    number: int
    state: str
    suggested: Mapping[str, Any] = field(default_factory=dict)
    logarithmic: frozenset[str] = frozenset()
    values: Mapping[str, Any] = field(default_factory=dict)
    score: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Search:
    """The search for the config values of an arm.

    Attributes:
      arm: the name of the arm.
      folder: the folder of the study and of the trials' runs.
      wanted: the number of trials.
      trials: the trials so far.
      config: the config that the trials share, in the form of `config.identity`.
    """

    arm: str
    folder: Path
    wanted: int
    trials: tuple[Trial, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """True if all trials have ended."""
        return len(self.trials) - self.count("running") >= self.wanted

    @property
    def best(self) -> Trial | None:
        """The complete trial with the highest score; None if no trial is complete."""
        complete = [
            (trial.score, -trial.number, trial)
            for trial in self.trials
            if trial.state == "complete" and trial.score is not None
        ]
        return max(complete)[2] if complete else None

    def count(self, state: str) -> int:
        """Returns the number of trials in a state."""
        return sum(trial.state == state for trial in self.trials)


def read(folder: Path, arm: str, wanted: int) -> Search:
    """Returns the search in a folder. The files in the folder are not changed.

    Args:
      folder: the folder of the study.
      arm: the name of the arm.
      wanted: the number of trials. Further trials in the folder are left out.

    Raises:
      UserError: if the study is damaged, or Optuna is not installed.
    """
    path, trials, config = folder / FILE, [], {}
    if path.exists():
        optuna = _optuna()
        with _readable(path), contextlib.suppress(KeyError):  # KeyError: no study yet
            study = optuna.load_study(study_name=NAME, storage=_storage(path))
            trials, config = _trials(study), study.user_attrs.get("config", {})
    kept = tuple(trial for trial in trials if trial.number < wanted)
    return Search(arm, folder, wanted, kept, config)


def remove(workdir: Path) -> None:
    """Removes the studies of a sweep's folder. The runs of their trials stay."""
    for path in (workdir / SEARCH).glob(f"**/{FILE}"):
        path.unlink()


class Study:
    """A study that is continued; only one process at a time may do so.

    Args:
      folder: the folder of the study.
      seed: the seed of the sampler.
      wanted: the number of trials.
      first: the values of the first trial by name; the sampler proposes the values that
        are missing here.

    Raises:
      UserError: if the study is damaged, or Optuna is not installed.
    """

    def __init__(
        self, folder: Path, *, seed: int, wanted: int, first: Mapping[str, Any]
    ):
        optuna = _optuna()
        self._path = folder / FILE
        self._trial, self._states = optuna.Trial, optuna.trial.TrialState
        self._open: dict[int, Any] = {}  # the running trials of Optuna
        with disk.writing(self._path), _readable(self._path):
            folder.mkdir(parents=True, exist_ok=True)
            _mend(self._path)
            pruner = optuna.pruners.SuccessiveHalvingPruner(
                min_resource=FIRST_RUNG, reduction_factor=REDUCTION
            )
            self._study = optuna.create_study(
                study_name=NAME,
                storage=_storage(self._path),
                direction="maximize",
                load_if_exists=True,
                pruner=pruner,
            )
            known = self._study.get_trials(deepcopy=False)
            # The same seed would propose the same random values once more.
            self._study.sampler = optuna.samplers.TPESampler(
                seed=seed + len(known),
                n_startup_trials=min(10, wanted // 2),
                constant_liar=True,
            )
            if not known and first:
                self._study.enqueue_trial(dict(first))

    def check(self, identity: Mapping[str, Any]) -> None:
        """Records the config that all trials share, or compares it to the record.

        Args:
          identity: the config, in the form of `config.identity`.

        Raises:
          UserError: if the trials so far have another config.
        """
        known = self._study.user_attrs.get("config")
        if known is None:
            with disk.writing(self._path):
                self._study.set_user_attr("config", dict(identity))
        elif lines := config_lib.differences(identity, known):
            raise UserError(
                f"{self._path.parent} holds a search with another config: "
                f"{'; '.join(lines)}. Take another --workdir, or move this folder away."
            )

    def trials(self) -> list[Trial]:
        """Returns the trials so far."""
        return _trials(self._study)

    def ask(self) -> Any:
        """Returns a new trial of Optuna, whose values are not proposed yet."""
        with disk.writing(self._path):
            trial = self._study.ask()
        self._open[trial.number] = trial
        return trial

    def resumed(self, number: int) -> Any:
        """Returns a running trial of Optuna, which proposes its known values again."""
        found = self._study.get_trials(deepcopy=False)[number]
        self._open[number] = self._trial(self._study, found._trial_id)
        return self._open[number]

    def begin(self, number: int, values: Mapping[str, Any]) -> None:
        """Records the config values that a trial sets."""
        with disk.writing(self._path):
            self._open[number].set_user_attr("values", dict(values))

    def falls_behind(self, number: int, percent: int, score: float) -> bool:
        """Records a score of a running trial, and returns whether to prune the trial.

        Args:
          number: the number of the trial.
          percent: the share of the trial's steps before this score, 0 to 100. If it is
            not above the share of an earlier score, nothing is recorded.
          score: the score on the validation split.
        """
        last = self._study.get_trials(deepcopy=False)[number].last_step
        if last is not None and percent <= last:
            return False
        with disk.writing(self._path):
            self._open[number].report(score, percent)
            return self._open[number].should_prune()

    def end(self, number: int, state: str, score: float | None = None) -> None:
        """Records the end of a trial.

        Args:
          number: the number of the trial.
          state: "complete", "pruned" or "failed".
          score: the score of a complete trial.
        """
        (name,) = [name for name, word in STATES.items() if word == state]
        with disk.writing(self._path):
            self._study.tell(number, score, state=self._states[name])

    def fail(self, number: int, reason: str) -> None:
        """Records that a trial has failed, and why."""
        with disk.writing(self._path):
            self._open[number].set_user_attr("reason", reason)
        self.end(number, "failed")


def preview(
    function: Callable[[Any], Any], present: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Returns the result of a function of a trial, called with a trial of no study.

    The second result has those of the present values that the function could suggest:
    it suggests a value of this name, and the value is in its range.

    Args:
      function: a function that takes a trial of Optuna.
      present: the present config values, by key.
    """
    trial = _optuna().create_study().ask()
    result = function(trial)
    possible = {
        name: present[name]
        for name, distribution in trial.distributions.items()
        if name in present and _holds(distribution, present[name])
    }
    return result, possible


def _holds(distribution: Any, value: Any) -> bool:
    """Returns whether a value is among the values of a distribution of Optuna."""
    if hasattr(distribution, "choices"):
        return value in distribution.choices
    number = isinstance(value, int | float)
    return number and distribution.low <= value <= distribution.high


@contextlib.contextmanager
def strict() -> Iterator[None]:
    """Returns a context that turns choices which no file can hold into an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Choices for a categorical", UserWarning)
        yield


def _optuna() -> ModuleType:
    """Returns the module `optuna`, which then prints errors only."""
    optuna = extras.need("optuna", "search", "a search")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _storage(path: Path) -> Any:
    """Returns Optuna's storage in a file, which may lie on a shared file system."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    records.check_regular(path)
    return JournalStorage(JournalFileBackend(str(path)))


def _trials(study: Any) -> list[Trial]:
    """Returns the trials of an Optuna study that have begun."""
    found = study.get_trials(deepcopy=False)
    return [_trial(trial) for trial in found if trial.state.name != "WAITING"]


def _trial(found: Any) -> Trial:
    values = found.user_attrs.get("values", {})
    score = found.value
    return Trial(
        number=found.number,
        state=STATES.get(found.state.name, "running"),
        suggested=dict(found.params),
        logarithmic=frozenset(
            name
            for name, distribution in found.distributions.items()
            if getattr(distribution, "log", False)
        ),
        values={key: _hashable(value) for key, value in values.items()},
        score=None if score is None or math.isnan(score) else float(score),
        reason=found.user_attrs.get("reason", ""),
    )


def _hashable(value: Any) -> Any:
    """Returns a JSON value with tuples in place of lists, as configs have them."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(map(_hashable, value))
    return value


def _mend(path: Path) -> None:
    """Removes what a process that was killed has left: half a line, and its lock."""
    Path(f"{path}.lock").unlink(missing_ok=True)
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns an error of a damaged study into a `UserError`.

    A `KeyError` about a study that does not exist is not changed.
    """
    try:
        yield
    except (UserError, OSError, KeyError):
        raise
    except Exception as error:  # a line of any content can cause any error
        raise UserError(
            f"{path} is damaged ({error}): move the folder {path.parent} away, and "
            "start the search again."
        ) from error
