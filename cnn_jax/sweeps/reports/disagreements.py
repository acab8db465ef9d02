"""Pictures of the test examples that two arms classify most differently."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnn_jax import data
from cnn_jax.core import disk, names
from cnn_jax.core.errors import UserError
from cnn_jax.data.dataset import Dataset, into_memory
from cnn_jax.sweeps.experiment import Experiment
from cnn_jax.sweeps.reports import crossed
from cnn_jax.sweeps.reports.summary import Summary
from cnn_jax.sweeps.results import Row
from cnn_jax.tasks import pictures
from cnn_jax.training import setup
from cnn_jax.training.config import Config

FOLDER = "disagreements"
MOST_ARMS, MOST_EXAMPLES = 4, 16
CELL = 192  # pixels; a label of about 30 characters fits below


@dataclass(frozen=True)
class Disagreement:
    """The test examples that an arm and its base arm classify most differently.

    The examples are sorted by the difference, the largest first.

    Attributes:
      arm, base: the names of the arms.
      size: the mean difference over all test examples, without its sign.
      seeds: the number of seeds that both arms have.
      index: the positions of the examples in the test split.
      label: the classes of the examples.
      right, base_right: for each example, the number of the arm's and of the base arm's
        runs that classify it correctly.
    """

    arm: str
    base: str
    size: float
    seeds: int
    index: NDArray[np.int64]
    label: NDArray[np.int64]
    right: NDArray[np.int64]
    base_right: NDArray[np.int64]


def find(rows: Sequence[Row], summaries: Sequence[Summary]) -> list[Disagreement]:
    """Returns the disagreement of each arm with its base arm, the largest first.

    Arms without an interval over test examples, and arms that classify each example
    correctly as often as the base arm, are left out.
    """
    found = [_between(rows, s.arm, s.against) for s in summaries if s.crossed]
    return sorted((one for one in found if one.size), key=lambda one: -one.size)


def _between(rows: Sequence[Row], arm: str, base: str | None) -> Disagreement:
    assert base is not None  # arms with an interval have a base arm
    ours, theirs = crossed.kept(rows, arm), crossed.kept(rows, base)
    seeds = sorted(ours.keys() & theirs.keys())
    right, base_right = (
        np.sum([one[seed].correct for seed in seeds], axis=0) for one in (ours, theirs)
    )
    distance = np.abs(right - base_right)
    order = np.argsort(-distance, kind="stable")[:MOST_EXAMPLES]
    order = order[distance[order] > 0]
    example = theirs[seeds[0]]
    return Disagreement(
        arm=arm,
        base=base,
        size=float(distance.mean() / len(seeds)),
        seeds=len(seeds),
        index=example.index[order],
        label=example.label[order],
        right=right[order],
        base_right=base_right[order],
    )


def write(
    experiment: Experiment,
    rows: Sequence[Row],
    summaries: Sequence[Summary],
    folder: Path,
) -> list[str]:
    """Writes `disagreements/<arm>.png` for the arms that differ most.

    Returns:
      Paragraphs in Markdown that show the pictures, or say why there are none; [] if
      there is nothing to show.

    Args:
      experiment: the experiment.
      rows: the results of the experiment's runs.
      summaries: the summary of each arm.
      folder: the folder of the page.
    """
    found = find(rows, summaries)[:MOST_ARMS]
    configs = {run.arm: run.config for run in experiment.runs}
    said = []
    for base in dict.fromkeys(one.base for one in found):
        together = [one for one in found if one.base == base]
        try:
            drawn = _drawn(configs[base], together)
        except (UserError, OSError) as error:
            said.append(f"There are no pictures of the test examples: {error}")
            continue
        for one, picture in zip(together, drawn, strict=True):
            said.append(_shown(one, _saved(picture, folder, one.arm)))
    return [INTRODUCTION, *said] if said else []


INTRODUCTION = (
    "The test examples that an arm and the arm it is compared to classify most "
    "differently, sorted by the difference. Below each picture: the class, and the "
    "number of runs of each arm that classify the example correctly."
)


def _drawn(config: Config, found: Sequence[Disagreement]) -> list[np.ndarray]:
    """Returns a picture of the examples of each disagreement with one base arm.

    Raises:
      UserError: the data cannot be loaded, or have changed since the runs.
    """
    dataset = _loaded(config)
    split = dataset.splits["test"]
    drawn = []
    for one in found:
        if one.index.max() >= len(split):
            raise _changed(config)
        shown = into_memory(split.subset(one.index))
        if dataset.label_kind == "class" and (shown.labels != one.label).any():
            raise _changed(config)
        labels = _labels(one, (*dataset.classes, *dataset.unseen))
        drawn.append(pictures.labeled_grid(list(shown.images), labels, CELL))
    return drawn


def _loaded(config: Config) -> Dataset:
    """Returns the data of a run, without decoding all images where this is possible.

    Raises:
      UserError: the data cannot be loaded.
    """
    options = setup.data_options(config)
    if "in_memory" in options:
        try:
            return data.load(config.data.name, **options | {"in_memory": False})
        except UserError:
            pass  # some options need the images in memory
    return data.load(config.data.name, **options)


def _changed(config: Config) -> UserError:
    return UserError(
        f"the test split of data.name={config.data.name} has changed since the runs."
    )


def _labels(one: Disagreement, classes: Sequence[str]) -> list[str]:
    """Returns the text below each picture.

    The arms' names are left out if they do not fit.
    """
    label = names.short(max((classes[i] for i in one.label), key=len))
    longest = f"{label}: {one.arm} {one.seeds}/{one.seeds}, {one.base} "
    named = len(f"{longest}{one.seeds}/{one.seeds}") <= CELL // 6
    ours, theirs = (f"{one.arm} ", f"{one.base} ") if named else ("", "")
    return [
        f"{names.short(classes[kind])}: {ours}{right}/{one.seeds}, "
        f"{theirs}{base_right}/{one.seeds}"
        for kind, right, base_right in zip(
            one.label, one.right, one.base_right, strict=True
        )
    ]


def _saved(picture: np.ndarray, folder: Path, arm: str) -> str:
    """Saves a picture, and returns its path relative to the folder, for Markdown."""
    path = folder / FOLDER / f"{arm}.png"
    with disk.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    return quote(f"{FOLDER}/{path.name}")


def _shown(one: Disagreement, path: str) -> str:
    caption = f"{one.arm} (first number) and {one.base} (second number)"
    return f"{caption}:\n\n![test examples: {one.arm}, {one.base}]({path})"
