"""Searches config values: trains trials, prunes some, and finds the best on `val`.

A trial is a run in the folder `trial<k>` beside the study. It reads the validation
split and never the test split. The runs that compare the values of the best trial with
others are trained afterwards, as the runs of every sweep.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnn_jax import tasks
from cnn_jax.core import records
from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import runner
from cnn_jax.sweeps.arms import SEARCH
from cnn_jax.sweeps.experiment import TRIAL_SEED, Experiment
from cnn_jax.sweeps.outcome import Outcome
from cnn_jax.sweeps.progress import Progress
from cnn_jax.sweeps.run import Run, incomplete, short_text
from cnn_jax.sweeps.searches import spaces, study
from cnn_jax.sweeps.searches.study import Search, Study
from cnn_jax.training import config as config_lib
from cnn_jax.training import metrics_log, setup
from cnn_jax.training.config import Config

# The config of a trial, whatever the experiment's file and the command line say.
WITHOUT_TEST = {"eval.test": "false", "eval.test_curve": "false"}


def complete(
    experiment: Experiment, launched: tuple[runner.Launch, int | None], workdir: Path
) -> None:
    """Trains the missing trials of all searches, and prints the best trials.

    Args:
      experiment: the experiment. Load it again afterwards: its arms then have the
        values of the best trials.
      launched: the result of `runner.launcher`.
      workdir: the sweep's folder.

    Raises:
      Stopped: if a signal ended the search; the current trials have saved their state.
      UserError: if the search or its config is wrong (no file is written), or if no
        trial of a search is complete.
    """
    missing = [_Searching(s, experiment) for s in experiment.searches if not s.finished]
    if missing:
        launch, at_once = launched
        source = experiment.source
        if source and incomplete([source]):
            runner.train([source], launch, workdir=workdir, at_once=1, done=0)
        _train(missing, launch, at_once, workdir)
    for search in experiment.searches:
        print(said(study.read(search.folder, search.arm, search.wanted)))


def said(search: Search) -> str:
    """Returns a line about the best trial of a search.

    Raises:
      UserError: if the search is not finished, or no trial is complete.
    """
    ended = len(search.trials) - search.count("running")
    if not search.finished:
        raise UserError(
            f"{ended} of {search.wanted} trials in {search.folder} have ended: start "
            "the sweep again, without --report_only and --dry_run, to go on."
        )
    if search.best is None:
        reasons = [trial.reason for trial in search.trials if trial.reason]
        raise UserError(
            f"no trial in {search.folder} is complete: {search.count('failed')} failed "
            f"and {search.count('pruned')} were pruned. The last failure: "
            f"{(reasons[-1] if reasons else 'unknown').rstrip('.')}. Correct the "
            "cause, move the folder away, and start the search again."
        )
    return (
        f"{search.arm}: {ended} trials, {search.count('pruned')} pruned, "
        f"{search.count('failed')} failed; the best is trial {search.best.number}: "
        f"{_shown(search.best.values)}"
    )


def _shown(values: Mapping[str, Any]) -> str:
    """Returns config values as text."""
    return ", ".join(f"{k}={short_text(v)}" for k, v in values.items())


def _train(
    searches: Sequence["_Searching"],
    launch: runner.Launch,
    at_once: int | None,
    workdir: Path,
) -> None:
    """Trains the missing trials of searches.

    The first trials of a search begin while the last trials of the search before are
    still running.
    """
    owners: dict[Path, _Searching] = {}

    def runs() -> Iterator[Run]:
        for search in searches:
            for run in search.runs():
                owners[run.workdir] = search
                yield run

    def ends(run: Run) -> bool:
        return owners[run.workdir].falls_behind(run)

    with runner.alone(workdir) as stopped:
        for search in searches:
            search.open()
        todo = sum(search.missing for search in searches)
        done = sum(search.wanted for search in searches) - todo
        with Progress(done, todo, at_once) as progress:
            for run, outcome in launch(runs(), stopped, ends):
                if outcome is not None:
                    outcome = owners[run.workdir].end(run, outcome)
                progress.show(run, outcome)


class _Searching:
    """A search whose missing trials are trained.

    Args:
      search: the search so far.
      experiment: the experiment.

    Raises:
      UserError: if the search or its config is wrong. No file is written.
    """

    def __init__(self, search: Search, experiment: Experiment):
        assert experiment.recipe  # every experiment of a file has a recipe
        self._recipe = experiment.recipe
        self._folder, self.wanted = search.folder, search.wanted
        (self._arm,) = [arm for arm in experiment.arms if arm.name == search.arm]
        self._config = self._run(self._arm.name, search.folder, {}).config
        metric = tasks.find(self._config.task.name).best_metric
        self._metric = f"val/{metric}"
        self._suggest = spaces.suggestions(self._arm, self._config, self._recipe.spec)
        # The first trial has the values of the config as it is, as far as possible.
        values, self._first = study.preview(
            self._suggest, config_lib.flat(self._config)
        )
        self._run(self._arm.name, search.folder, values)
        _check_val(self._config)
        self._study: Study
        self._resumed: list[Run] = []  # trials of a process that has ended
        self._numbers: dict[Path, int] = {}
        self._sizes: dict[Path, int] = {}  # of metrics.jsonl, when it was read
        self._pruned: set[int] = set()

    def open(self) -> None:
        """Opens the study. Only one process at a time may do so."""
        self._study = Study(
            self._folder,
            seed=TRIAL_SEED,
            wanted=self.wanted,
            first=self._first,
        )
        self._study.check(config_lib.identity(self._config))
        for trial in self._study.trials():
            if trial.state == "running" and trial.number < self.wanted:
                begun = self._begun(self._study.resumed(trial.number), trial.values)
                self._resumed += [begun] if begun else []

    @property
    def missing(self) -> int:
        """The number of trials that have not ended."""
        trials = [t for t in self._study.trials() if t.number < self.wanted]
        return self.wanted - sum(trial.state != "running" for trial in trials)

    def runs(self) -> Iterator[Run]:
        """Yields the runs of the missing trials.

        The values of a trial are proposed when its run is taken.
        """
        yield from self._resumed
        while len(self._study.trials()) < self.wanted:
            if run := self._begun(self._study.ask(), {}):
                yield run

    def falls_behind(self, run: Run) -> bool:
        """Returns True if the trial of a run under way must end, and records this.

        A pruned run may write further scores before it ends; they are not recorded.
        """
        number = self._numbers[run.workdir]
        if number in self._pruned:
            return True
        for percent, score in self._scores(run):
            if self._study.falls_behind(number, percent, score):
                # If this process is killed now, the trial's run ends too.
                self._study.end(number, "pruned")
                self._pruned.add(number)
                return True
        return False

    def end(self, run: Run, outcome: Outcome) -> Outcome:
        """Records the end of a trial's run, and returns the outcome to show."""
        number = self._numbers[run.workdir]
        if number in self._pruned:
            return Outcome("pruned")
        if outcome.status == "stopped":  # the trial can go on
            return outcome
        score = outcome.results.get(self._metric)
        if outcome.status != "done":
            self._study.fail(number, outcome.reason)
        elif not isinstance(score, float | int) or not math.isfinite(score):
            self._study.fail(number, f"{self._metric} is {score}.")
        else:
            self._study.end(number, "complete", float(score))
        return outcome

    def _run(self, name: str, place: Path, values: Mapping[str, Any]) -> Run:
        """Returns the run of a trial.

        Args:
          name: the name of the trial.
          place: the run's folder.
          values: the config values of the trial.
        """
        values = {**self._arm.values, **values}
        run = self._recipe.run(name, values, TRIAL_SEED, place, WITHOUT_TEST)
        return dataclasses.replace(run, title=name)

    def _begun(self, trial: Any, values: Mapping[str, Any]) -> Run | None:
        """Returns the run of a trial; None if the run is complete.

        Args:
          trial: the trial of Optuna.
          values: the trial's config values; {} if they are not proposed yet.
        """
        if not values:
            values = self._suggest(trial)
            self._study.begin(trial.number, values)
        alone = self._folder.name == SEARCH
        name = f"{'' if alone else f'{self._arm.name}, '}trial {trial.number}"
        run = self._run(name, self._folder / f"trial{trial.number}", values)
        self._numbers[run.workdir] = trial.number
        if self._recipe.overwrite or incomplete([run]):
            return run
        # The process was killed between the end of the run and its record.
        path = run.workdir / "results.json"
        self.end(run, Outcome("done", results=records.read_json(path)))
        return None

    def _scores(self, run: Run) -> Iterator[tuple[int, float]]:
        """Yields the scores of a run under way, if there are new lines in its log.

        A score is a pair: the share of the run's steps before the evaluation, 0 to 100,
        and the score on the validation split.
        """
        try:
            size = (run.workdir / metrics_log.FILE).stat().st_size
            if size == self._sizes.get(run.workdir):
                return
            self._sizes[run.workdir] = size
            rows, _ = metrics_log.read(run.workdir)
            steps = _steps(run)
        except (OSError, UserError, LookupError, TypeError):
            return  # the run begins, or will report the error itself
        for row in rows:
            score = row.get(self._metric)
            if isinstance(score, float | int):
                yield 100 * row["step"] // steps, float(score)


def _steps(run: Run) -> int:
    """Returns the number of steps of a run that has begun."""
    facts = records.read_json(run.workdir / "config.json")["dataset"]
    sizes = {
        "batch_size": run.config.data.batch_size,
        "examples": facts["examples"]["train"],
    }
    return config_lib.steps_in(run.config.train, "", **sizes) or 1


def _check_val(config: Config) -> None:
    """Raises UserError if there is no validation split, which a search chooses on."""
    val, fold = config.data.get("val"), config.data.get("fold")
    if val or fold:
        return
    if val == 0 or "val" not in setup.dataset(config).splits:
        raise UserError(
            "a search chooses on the validation split, and the data have none: set "
            "config.data.val, for example to 0.1."
        )
