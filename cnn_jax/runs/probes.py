"""How good the features of a run, or of other weights, are."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnn_jax import models
from cnn_jax.analysis import probe
from cnn_jax.core.errors import UserError
from cnn_jax.data.dataset import Dataset
from cnn_jax.runs import config_json, console, run_folder, trained
from cnn_jax.training import loop, setup
from cnn_jax.training.config import Config
from cnn_jax.training.setup import Network


def probe_run(workdir: Path, *, kind: str, checkpoint: str, output: str) -> None:
    """Prints how good the features of a run's checkpoint are, on its data."""
    saved = config_json.read(workdir)
    dataset = run_folder.as_known(saved, setup.dataset(saved.config))
    run_folder.check_data(saved, dataset)
    network = setup.network(saved.config, dataset)
    _, variables = trained.variables_of(workdir, network, checkpoint)
    _probe(kind, dataset, network, variables, output)


def probe_weights(config: Config, *, kind: str, output: str) -> None:
    """Prints how good the features of `config.model.init_from` are, on the config's
    data.

    Raises:
      UserError: it is not set, or does not fit.
    """
    if config.model.init_from is None:
        raise UserError("--probe needs weights: set --config.model.init_from=PATH.")
    dataset, network, loaded, reports = trained.started(config, setup.dataset(config))
    for line in reports:
        console.say(line, to_stderr=True)  # stdout may be read as JSON
    # The head is drawn from the seed, and not used.
    fresh = network.fresh_state(loaded)
    _probe(kind, dataset, network, fresh.variables(), output)


def _probe(
    kind: str,
    dataset: Dataset,
    network: Network,
    variables: Any,
    output: str,
) -> None:
    if dataset.label_kind != "class":
        raise UserError(
            "--probe takes one label an image, and these have "
            f"{dataset.labels.described}."
        )
    if not models.has_map(network.model):
        raise UserError(
            f"--probe takes the last map, and {network.config.model.name} has none."
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
        for batch in loop.eval_batches(dataset.splits[role], network.config):
            real = batch["mask"] > 0
            rows.append(np.asarray(pooled(variables, batch["image"]))[real])
            labels.append(batch["label"][real])
        found[role] = np.concatenate(rows), np.concatenate(labels)
    predict = probe.PROBES[kind](*found["train"])
    features, truth = found["test"]
    console.show(
        {
            "features": features.shape[-1],
            "examples": len(truth),
            f"{kind}/accuracy": float((predict(features) == truth).mean()),
        },
        output,
    )
