"""What a command does with a run's folder: train in it, evaluate it, predict by it."""

import contextlib
import dataclasses
import functools
import json
import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from tabulate import tabulate

from cnn_jax import models
from cnn_jax.core import strict_json
from cnn_jax.analysis import costs, probe
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.labels import CLASS
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.weights import torch_weights, files
from cnn_jax.core.records import Damaged
from cnn_jax.training import checks, loop, parallel, setup, startup, freezing
from cnn_jax.runs import trained
from cnn_jax.training import config as config_lib
from cnn_jax.runs import folder
from cnn_jax.training.config import Config
from cnn_jax.training.evaluation import evaluate as evaluate_split
from cnn_jax.training.state import parameter_count


def join() -> None:
    """Joins the other hosts of this run, before anything else uses the devices."""
    parallel.initialize()


def train(
    config: Config,
    workdir: Path,
    *,
    overwrite: bool,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Trains to the end in the folder, or says that this was done before.

    Args:
      tags: names and values that stand beside those of the config.

    Everything that can be wrong with the config or the data is found before the
    folder is touched.
    """
    startup.CLOCK.begin()
    if overwrite:
        folder.check_overwrite(workdir)
    known = not overwrite and folder.claim(workdir, config, overwrite=False)
    warnings = _damage(workdir) if known else []
    if known and not warnings and (results := folder.read_results(workdir)):
        _say(f"The run in {workdir} is complete; --overwrite starts it again.")
        _show_results(results, workdir)
        return
    with startup.CLOCK.part("data"):
        dataset = setup.dataset(config)
    weights = warning = None
    # Where config.json is damaged, the data and the weights give its facts again.
    known = known and folder.is_whole(workdir)
    if known:
        dataset = folder.as_known(workdir, config, dataset)
        folder.check_data(workdir, dataset)
    begun = known and trained.has_checkpoint(workdir, config)
    if begun and (change := folder.other_devices(workdir)):
        warnings.append(change)
    if config.model.init_from is not None and not begun:
        weights = trained.initial(config)
        dataset, warning = trained.normalized(dataset, config, weights)
    network = setup.network(config, dataset)
    training = setup.training(config, network, len(dataset.splits["train"]))
    loaded, shapes = None, {}
    if weights is not None:
        loaded = trained.fitted(weights, config, network, dataset.classes)
    if loaded is not None or training.plan:
        shapes = freezing.shapes_of(network.model, network.image_shape)
    if loaded is not None:
        initial = freezing.kept(
            loaded.variables,
            list(shapes),
            **config_lib.arguments(config.optimizer, freezing.kept),
        )
        training = dataclasses.replace(training, initial=initial)
    layers = costs.layer_table(network.model, dataset.image_shape)
    setup.check_batch_norm(config, network, training)
    state = jax.eval_shape(
        functools.partial(setup.fresh_state, config, network, training)
    )
    checks.check_memory(config, dataset.image_shape, state)
    with contextlib.ExitStack() as stack:
        if parallel.is_main_host():
            size = sum(
                leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)
            )
            folder.check_space(workdir, size, config.checkpoint.keep)
            stack.enter_context(folder.reserved(workdir, _say))
            folder.claim(workdir, config, overwrite=overwrite)
            folder.describe(workdir, config, dataset, tags or {})
        for line in warnings:
            _say(f"warning: {line}")
        parallel.wait_for_all("folder")
        _say(
            f"{config.model.name} on {config.data.name}: {costs.totals(layers)[0]:,} "
            f"parameters, {len(dataset.splits['train']):,} training and "
            f"{len(dataset.splits['test']):,} test examples, {training.steps:,} steps "
            f"of {config.data.batch_size} on {jax.device_count()} x "
            f"{jax.devices()[0].device_kind}"
        )
        if loaded is not None:
            _say(loaded.report)
        if warning is not None:
            _say(f"warning: {warning}")
        if shapes:
            _say(
                freezing.table(
                    shapes,
                    training.plan,
                    training.initial and flatten_dict(training.initial["params"]),
                )
            )
        results = loop.train(
            config,
            dataset,
            network,
            training,
            workdir,
            table=costs.render(layers, "markdown"),
            tags=tags or {},
        )
        results["macs"] = layers.macs
        if training.plan:
            results["trained_parameters"] = sum(
                math.prod(shapes[path]) for path in training.plan.ever().trained
            )
        if parallel.is_main_host():
            folder.write_results(workdir, results)
            _show_results(results, workdir)


def _damage(workdir: Path) -> list[str]:
    """What is damaged in a run's folder and can be mended, in one line each."""
    if not folder.is_whole(workdir):
        return [
            f"{workdir / 'config.json'} is damaged, and is written again from this "
            "command and its data."
        ]
    try:
        folder.read_results(workdir)
    except Damaged as error:
        return [f"{error} The last checkpoint gives the results again."]
    return []


def evaluate(
    workdir: Path,
    *,
    split: str = "test",
    checkpoint: str = "best",
    output: str = "table",
    expected: Config | None = None,
) -> None:
    """Prints the metrics of a run's checkpoint on a split of its data.

    Args:
      expected: the config that the run should be of; None: whatever it is of.
    """
    config = folder.saved_config(workdir)
    if expected is not None:
        folder.claim(workdir, expected, overwrite=False)
        config = expected  # its data may lie elsewhere by now
    with trained.reader(workdir, config) as checkpoints:
        step = trained.chosen_step(checkpoints, checkpoint)
        dataset = folder.as_known(workdir, config, setup.dataset(config))
        if split not in dataset.splits:
            raise unknown("split", split, dataset.splits)
        folder.check_data(workdir, dataset)
        network = setup.network(config, dataset)
        checks.check_batch_sizes(config)
        variables = trained.restore(checkpoints, step, network, config)
    found = evaluate_split(
        setup.eval_step(network),
        variables,
        loop.eval_batches(dataset.splits[split], config),
        network.task.collected,
    )
    scores = network.task.scores(found.totals, found.rows)
    scores = {f"{split}/{name}": value for name, value in scores.items()}
    result = {"step": step, "examples": len(dataset.splits[split])} | scores
    _show(result, output)


def probe_run(workdir: Path, *, kind: str, checkpoint: str, output: str) -> None:
    """Prints how good the features of a run's checkpoint are, on its data."""
    config = folder.saved_config(workdir)
    dataset = folder.as_known(workdir, config, setup.dataset(config))
    folder.check_data(workdir, dataset)
    network = setup.network(config, dataset)
    with trained.reader(workdir, config) as checkpoints:
        step = trained.chosen_step(checkpoints, checkpoint)
        variables = trained.restore(checkpoints, step, network, config)
    _probe(kind, config, dataset, network, variables, output)


def probe_weights(config: Config, *, kind: str, output: str) -> None:
    """Prints how good the features of `config.model.init_from` are, on the config's
    data.

    Raises:
      UserError: it is not set, or does not fit.
    """
    if config.model.init_from is None:
        raise UserError("--probe needs weights: set --config.model.init_from=PATH.")
    weights = trained.initial(config)
    dataset, warning = trained.normalized(setup.dataset(config), config, weights)
    network = setup.network(config, dataset)
    loaded = trained.fitted(weights, config, network, dataset.classes)
    if warning:
        _say(f"warning: {warning}")
    # The head is drawn from the seed, and not used.
    fresh = setup.fresh_state(config, network, initial=loaded.variables)
    _probe(kind, config, dataset, network, fresh.variables(), output)


def _probe(
    kind: str,
    config: Config,
    dataset: Dataset,
    network: setup.Network,
    variables: Any,
    output: str,
) -> None:
    if dataset.labels is not CLASS:
        raise UserError(
            f"--probe takes {CLASS.described}, and these have "
            f"{dataset.labels.described}."
        )
    if not models.has_map(network.model):
        raise UserError(
            f"--probe takes the last map, and {config.model.name} has none."
        )
    if len(dataset.classes) < 2:
        raise UserError("--probe needs two classes at least.")
    if dataset.unseen:
        raise UserError(
            "--probe takes the same classes for training and test, and nobody in this "
            "test split was trained on."
        )

    @jax.jit
    def pooled(variables: Any, images: jax.Array) -> jax.Array:
        maps = models.features(network.model, variables, network.normalize(images))
        return maps.astype(jax.numpy.float32).mean(tuple(range(1, maps.ndim - 1)))

    found = {}
    for role in ("train", "test"):
        rows, labels = [], []
        for batch in loop.eval_batches(dataset.splits[role], config):
            real = batch["mask"] > 0
            rows.append(np.asarray(pooled(variables, batch["image"]))[real])
            labels.append(batch["label"][real])
        found[role] = np.concatenate(rows), np.concatenate(labels)
    predict = probe.PROBES[kind](*found["train"])
    features, labels = found["test"]
    _show(
        {
            "features": features.shape[-1],
            "examples": len(labels),
            f"{kind}/accuracy": float((predict(features) == labels).mean()),
        },
        output,
    )


def _show(result: Mapping[str, Any], output: str) -> None:
    _say(strict_json.dumps(result) if output == "json" else _as_table(result))


def export_weights(
    workdir: Path, path: Path, *, checkpoint: str, overwrite: bool
) -> str:
    """Writes a run's checkpoint as a state dict with torchvision's names.

    Returns:
      One line that says what was written.
    """
    files.check_file(path, overwrite=overwrite)
    config = folder.saved_config(workdir)
    dataset = folder.saved_dataset(workdir)
    network = setup.network(config, dataset)
    entries = torch_weights.entries_of(
        config.model.name, network.model, dataset.image_shape
    )
    with trained.reader(workdir, config) as checkpoints:
        step = trained.chosen_step(checkpoints, checkpoint)
        variables = trained.restore(checkpoints, step, network, config)
    facts = {
        "model": config.model.name,
        "classes": dataset.classes,
        "image_shape": dataset.image_shape,
        "mean": dataset.mean,
        "std": dataset.std,
    }
    files.write_file(
        path,
        torch_weights.state_of(entries, variables),
        {key: json.dumps(value) for key, value in facts.items()},
        overwrite=overwrite,
    )
    report = (
        f"{config.model.name}: {len(entries)} entries, "
        f"{parameter_count(variables['params']):,} parameters, "
        f"{network.model.num_classes} classes, from step {step} of {workdir} to {path}"
    )
    if other := torch_weights.unlike_published(
        config.model.name, entries, network.model.num_classes
    ):
        report += (
            f"\nwarning: torchvision's own {config.model.name} does not load it, since "
            f"this run's network is another one: {other}"
        )
    return report


def _show_results(results: Mapping[str, Any], workdir: Path) -> None:
    _say(_as_table(results))
    _say(f"\ntensorboard --logdir={shlex.quote(str(workdir.parent))}")


def _as_table(values: Mapping[str, Any]) -> str:
    """Numbers with their names, one a line."""
    rows = [
        (key, f"{value:,}" if isinstance(value, int) else f"{value:,.4f}")
        for key, value in values.items()
        if isinstance(value, int | float)
    ]
    return tabulate(
        rows, tablefmt="plain", colalign=("left", "right"), disable_numparse=True
    )


def _say(text: str) -> None:
    if parallel.is_main_host():
        print(text, flush=True)
