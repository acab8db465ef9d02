"""What a command does with a run's folder: train in it, evaluate it, predict by it."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tabulate import tabulate

from cnn_jax import data, tasks
from cnn_jax.analysis import costs
from cnn_jax.data import images
from cnn_jax.data.folder import pictures_below
from cnn_jax.errors import UserError, unknown
from cnn_jax.models import torch_weights, weight_files
from cnn_jax.training import loop, parallel, run, startup
from cnn_jax.training import workdir as folder
from cnn_jax.training.checkpoints import Checkpoints
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
    known = folder.claim(workdir, config, overwrite=False) if not overwrite else False
    if known and (results := folder.read_results(workdir)):
        _say(f"The run in {workdir} is complete; --overwrite starts it again.")
        _show_results(results, workdir)
        return
    with startup.CLOCK.part("data"):
        dataset = data.load(config.data.name, **run.data_options(config))
    if known:
        folder.check_data(workdir, dataset)
    network = run.network(config, dataset)
    training = run.training(config, len(dataset.splits["train"]))
    loaded = None
    if config.model.init_from is not None and not (
        known and _has_checkpoint(workdir, config)
    ):
        loaded = run.pretrained_weights(config, network)
        training = dataclasses.replace(training, initial=loaded.variables)
    layers = costs.layer_table(network.model, dataset.image_shape)
    with contextlib.ExitStack() as stack:
        if parallel.is_main_host():
            state = jax.eval_shape(
                functools.partial(run.fresh_state, config, network, training)
            )
            size = sum(
                leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)
            )
            folder.check_space(workdir, size, config.checkpoint.keep)
            stack.enter_context(folder.reserved(workdir, _say))
            folder.claim(workdir, config, overwrite=overwrite)
            folder.describe(workdir, config, dataset, tags or {})
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
        if parallel.is_main_host():
            folder.write_json(workdir / "results.json", results)
            _show_results(results, workdir)


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
    with _reader(workdir, config) as checkpoints:
        step = _chosen_step(checkpoints, checkpoint)
        dataset = data.load(config.data.name, **run.data_options(config))
        if split not in dataset.splits:
            raise unknown("split", split, dataset.splits)
        folder.check_data(workdir, dataset)
        network = run.network(config, dataset)
        run.check_batch_sizes(config)
        variables = _restore(checkpoints, step, network, config)
    totals, _ = evaluate_split(
        run.eval_step(network),
        variables,
        loop.eval_batches(dataset.splits[split], config),
    )
    scores = {f"{split}/{k}": v for k, v in network.task.scores(totals).items()}
    result = {"step": step, "examples": len(dataset.splits[split])} | scores
    if output == "json":
        _say(json.dumps(result))
    else:
        _say(_as_table(result))


def predict(
    workdir: Path,
    paths: Sequence[Path],
    *,
    top_k: int = 5,
    checkpoint: str = "best",
    output: str = "table",
) -> None:
    """Prints the first `top_k` classes of each picture, as the task ranks them.

    Raises:
      UserError: a picture cannot be read, or the run is one of clips.
    """
    config = folder.saved_config(workdir)
    dataset = folder.saved_dataset(workdir)
    if len(dataset.image_shape) == 4:
        raise UserError(
            f"the run in {workdir} is one of clips, and pictures are none: "
            "python -m cnn_jax.evaluate measures it."
        )
    if config.data.get("keep_pixels", 1) < 1:
        raise UserError(
            f"the run in {workdir} sees a part of the pixels of its own images "
            "(data.keep_pixels): it cannot see pictures as it was trained."
        )
    files = [file for path in paths for file in _pictures_in(path)]
    # Read before anything is computed: a bad file should not cost a minute.
    pictures = [images.fit(file, dataset.image_shape, dataset.crop) for file in files]
    network = run.network(config, dataset)
    with _reader(workdir, config) as checkpoints:
        step = _chosen_step(checkpoints, checkpoint)
        variables = _restore(checkpoints, step, network, config)

    @jax.jit
    def forward(variables: Any, batch: jax.Array) -> jax.Array:
        return network.model.apply(variables, network.normalize(batch), train=False)

    rows = []
    size = min(len(pictures), 32)
    for start in range(0, len(pictures), size):
        batch = np.stack(pictures[start : start + size])
        # One shape for all batches, one compilation.
        padded = np.pad(batch, [(0, size - len(batch)), (0, 0), (0, 0), (0, 0)])
        rows += network.task.top(forward(variables, padded)[: len(batch)], top_k)
    if output == "json":
        found = [
            {"image": str(path), "predictions": row}
            for path, row in zip(files, rows, strict=True)
        ]
        _say(json.dumps(found, indent=2))
        return
    table = [
        [str(path) if rank == 0 else "", name, f"{value:.2%}"]
        for path, row in zip(files, rows, strict=True)
        for rank, (name, value) in enumerate(found.values() for found in row)
    ]
    _say(
        tabulate(
            table,
            headers=["image", *rows[0][0]],  # a class, and what it is ranked by
            colalign=("left", "left", "right"),
            disable_numparse=True,
        )
    )


def export_weights(
    workdir: Path, path: Path, *, checkpoint: str, overwrite: bool
) -> str:
    """Writes a run's checkpoint as a state dict with torchvision's names.

    Returns:
      One line that says what was written.
    """
    weight_files.check_file(path, overwrite=overwrite)
    config = folder.saved_config(workdir)
    dataset = folder.saved_dataset(workdir)
    network = run.network(config, dataset)
    entries = torch_weights.entries_of(
        config.model.name, network.model, dataset.image_shape
    )
    with _reader(workdir, config) as checkpoints:
        step = _chosen_step(checkpoints, checkpoint)
        variables = _restore(checkpoints, step, network, config)
    facts = {
        "model": config.model.name,
        "classes": dataset.classes,
        "image_shape": dataset.image_shape,
        "mean": dataset.mean,
        "std": dataset.std,
    }
    weight_files.write_file(
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


def _has_checkpoint(workdir: Path, config: Config) -> bool:
    if not (workdir / "checkpoints").is_dir():
        return False
    with _reader(workdir, config) as checkpoints:
        return bool(checkpoints.steps())


def _reader(workdir: Path, config: Config) -> Checkpoints:
    directory = workdir / "checkpoints"
    if not directory.is_dir():
        raise UserError(f"there is no checkpoint in {workdir}: train the run first.")
    metric = tasks.TASKS[config.task.name].best_metric
    return Checkpoints(directory, best_metric=f"test/{metric}", read_only=True)


def _chosen_step(checkpoints: Checkpoints, name: str) -> int:
    """The step of the checkpoint called `best`, `last` or by its step."""
    steps = checkpoints.steps()
    if not steps:
        raise UserError(
            f"there is no checkpoint in {checkpoints.directory}: train the run first."
        )
    if name == "last":
        return steps[-1]
    if name == "best":
        best = checkpoints.best_step()
        return steps[-1] if best is None else best
    if not name.isdigit() or int(name) not in steps:
        raise unknown("checkpoint", name, ["best", "last", *map(str, steps)])
    return int(name)


def _restore(
    checkpoints: Checkpoints, step: int, network: run.Network, config: Config
) -> Any:
    """The variables that evaluation applies, on every device."""
    like = jax.eval_shape(functools.partial(run.fresh_state, config, network))
    if like.ema is not None:
        return checkpoints.restore(step, {"ema": like.ema})[0]["ema"]
    return checkpoints.restore(step, like.variables())[0]


def _pictures_in(path: Path) -> list[Path]:
    """The picture itself, or those in a folder and the folders below it."""
    if not path.is_dir():
        return [path]
    found = pictures_below(path)
    if not found:
        raise UserError(f"there are no pictures in {path}.")
    return found


def _show_results(results: Mapping[str, Any], workdir: Path) -> None:
    _say(_as_table(results))
    _say(f"\ntensorboard --logdir={workdir.parent}")


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
