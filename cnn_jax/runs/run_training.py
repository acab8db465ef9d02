"""Trains a run in its folder, from the config to the results."""

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from flax.traverse_util import flatten_dict

from cnn_jax.analysis import costs
from cnn_jax.core.errors import UserError
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.splits import ROLES
from cnn_jax.runs import (
    accumulation,
    config_json,
    console,
    extension,
    run_folder,
    teachers,
    trained,
)
from cnn_jax.runs.config_json import Saved
from cnn_jax.training import config as config_lib
from cnn_jax.training import (
    freezing,
    loop,
    machine,
    parallel,
    parameter_table,
    setup,
    startup,
)
from cnn_jax.training.config import Config
from cnn_jax.training.setup import Network, Training


class Ready(NamedTuple):
    """The parts of a run, made before any file in the run's folder is changed.

    Attributes:
      dataset: the data set.
      training: the network, its optimizer and the other parts of the training loop.
      table: the layer table of the network.
      said: the lines to print on the console when the run starts.
      trained_parameters: the number of parameters that are trained in at least one
        step; None if no parameter is ever frozen.
    """

    dataset: Dataset
    training: Training
    table: costs.Table
    said: tuple[str, ...]
    trained_parameters: int | None


def train(
    config: Config,
    workdir: Path,
    *,
    overwrite: bool = False,
    extend: bool = False,
    tags: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Trains a run until it is complete, or reports that the run is already complete.

    Args:
      config: the resolved config.
      workdir: the run's folder.
      overwrite: if True, first removes the run in the folder.
      extend: if True, the run in the folder goes on to a greater length, or with
        another schedule; see `extension`.
      tags: names and values that TensorBoard shows beside the config's keys and values.

    Returns:
      The results of the run, as in results.json.

    Raises:
      UserError: if the config or the data is wrong. The folder is left unchanged.
    """
    startup.CLOCK.begin()
    begun = None
    if overwrite and extend:
        raise UserError("--overwrite and --extend contradict each other: take one.")
    if overwrite:
        run_folder.check_overwrite(workdir)
    else:
        begun = run_folder.begun(workdir, config, extend=extend)
    if begun and begun.results:
        console.say(
            f"The run in {workdir} is complete; --overwrite trains the run again, and "
            "--extend with a greater length of config.train trains it further."
        )
        console.show_results(begun.results, workdir)
        return begun.results
    # If config.json is damaged, its facts come again from the data and the weights.
    ready = prepare(config, begun.saved if begun else None)
    if begun and begun.saved and begun.part:
        extension.check(
            config,
            begun.saved.config,
            examples=len(ready.dataset.splits["train"]),
            done=trained.newest_step(workdir) or 0,
            complete=begun.part["results"] is not None,
        )
    with _opened(workdir, ready, overwrite, extend, tags or {}):
        damage = begun.damage if begun else []
        for line in (*(f"warning: {line}" for line in damage), *ready.said):
            console.say(line)
        results = loop.train(
            ready.training,
            ready.dataset,
            workdir,
            table=costs.render(ready.table, "markdown"),
            tags=tags or {},
        )
        results["macs"] = ready.table.macs
        if ready.trained_parameters is not None:
            results["trained_parameters"] = ready.trained_parameters
        if parallel.is_main_host():
            run_folder.write_results(workdir, results)
            console.show_results(results, workdir)
    return results


def prepare(config: Config, saved: Saved | None = None) -> Ready:
    """Makes the parts of a run: reads the data, and sets up the network and training.

    Args:
      config: the resolved config.
      saved: the content of the run's config.json; None if the run has not begun.
    """
    resumes = saved is not None and trained.newest_step(saved.workdir) is not None
    dataset, network, loaded, said = _network(config, saved, resumes)
    training = _training(network, dataset, loaded, saved, resumes)
    if training.resizing.shapes:
        said.append(f"size of the training images: {training.resizing}")
    if config.train.accumulate == parallel.AUTO:
        said.append(f"the batch is computed in {training.accumulate} parts")
    shapes = {}
    if training.initial is not None or training.plan:
        shapes = freezing.shapes_of(network.model, network.image_shape)
        given = training.initial
        from_file = None if given is None else flatten_dict(given.get("params", {}))
        decay = config.optimizer.get("weight_decay")
        said.append(parameter_table.table(shapes, training.plan, from_file, decay))
    table = costs.layer_table(network.model, dataset.image_shape)
    return Ready(
        dataset,
        training,
        table,
        (_headline(dataset, training, table), *said),
        trained_parameters=sum(
            math.prod(shapes[path]) for path in training.plan.ever().trained
        )
        if training.plan
        else None,
    )


def _network(
    config: Config, saved: Saved | None, resumes: bool
) -> tuple[Dataset, Network, Mapping[str, Any] | None, list[str]]:
    """Returns the data, the network, and the variables from other weights.

    The last entry of the result is the lines to print on the console.

    Args:
      config, saved: see `prepare`.
      resumes: whether the run has a checkpoint from which it resumes.
    """
    said = []
    if config.model.get("dtype") == "float16":
        raise UserError(
            "config.model.dtype=float16 cannot be trained, because small gradients "
            "become zero in this type: set config.model.dtype=bfloat16."
        )
    if config.eval.test_curve:
        said.append("the test split is evaluated during training (eval.test_curve)")
    with startup.CLOCK.part("data"):
        dataset = setup.dataset(config)
    if saved:
        dataset = run_folder.as_known(saved, dataset)
        run_folder.check_data(saved, dataset)
        if resumes and (change := run_folder.other_devices(saved)):
            said.append(f"warning: {change}")
    if config.model.init_from is None or resumes:
        return dataset, setup.network(config, dataset), None, said
    dataset, network, loaded, reports = trained.started(config, dataset)
    return dataset, network, loaded, said + reports


def _training(
    network: Network,
    dataset: Dataset,
    loaded: Mapping[str, Any] | None,
    saved: Saved | None,
    resumes: bool,
) -> Training:
    """Returns how the network is trained, after checking that it is possible.

    Args:
      network: the network.
      dataset: the data set.
      loaded: the variables from other weights; None: no other weights.
      saved, resumes: see `_network`.
    """
    config, initial = network.config, None
    training = setup.training(network, len(dataset.splits["train"]))
    setup.check_roles(config, dataset, training.schedule)
    if loaded is not None:
        paths = list(freezing.shapes_of(network.model, network.image_shape))
        options = config_lib.arguments(config.optimizer, freezing.kept)
        initial = freezing.kept(loaded, paths, **options)
    training = dataclasses.replace(
        training,
        initial=initial,
        images=None if resumes else setup.initial_images(network, dataset),
        teacher=teachers.of(network, saved),
    )
    machine.check_memory(
        config, dataset.image_shape, dataset.image_type, training.state_shapes
    )
    training = accumulation.settled(training, saved)
    setup.check_normalization(training)
    return training


def _headline(dataset: Dataset, training: Training, table: costs.Table) -> str:
    """Returns the first line that a run prints: network, data, steps and devices."""
    config = training.config
    counts = [
        f"{len(dataset.splits[role]):,} {word}"
        for role, word in ROLES.items()
        if role in dataset.splits
    ]
    return (
        f"{config.model.name} on {config.data.name}: {table.parameters:,} "
        f"parameters, {', '.join(counts[:-1])} and {counts[-1]} examples, "
        f"{training.steps:,} steps of {config.data.batch_size} on "
        f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    )


@contextlib.contextmanager
def _opened(
    workdir: Path,
    ready: Ready,
    overwrite: bool,
    extend: bool,
    tags: Mapping[str, str],
) -> Iterator[None]:
    """Locks the folder for this run, and writes the run's config.json.

    Args:
      workdir: the run's folder.
      ready: the parts of the run.
      overwrite, extend, tags: see `train`.
    """
    config = ready.training.config
    with contextlib.ExitStack() as stack:
        if parallel.is_main_host():
            leaves = jax.tree.leaves(ready.training.state_shapes)
            size = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
            run_folder.check_space(workdir, size, config.checkpoint.keep)
            stack.enter_context(run_folder.reserved(workdir, console.say))
            part = None
            if overwrite:
                run_folder.overwrite(workdir)
            # Another process may have begun a run since.
            elif begun := run_folder.begun(workdir, config, extend=extend):
                part = begun.part
            teacher = ready.training.teacher
            facts: dict[str, Any] = {"teacher": teacher.facts} if teacher else {}
            if config.train.accumulate == parallel.AUTO:
                facts["accumulate"] = ready.training.accumulate
            config_json.describe(workdir, config, ready.dataset, tags, part, facts)
            if part:
                run_folder.remove_results(workdir)
        parallel.wait_for_all("folder")
        yield
