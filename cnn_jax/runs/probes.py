"""Measures the quality of a network's features with a probe.

A probe is a simple classifier that is fitted to the features (see `analysis.probe`).
"""

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


def probe_run(workdir: Path, *, kind: str, checkpoint: str | None, output: str) -> None:
    """Prints a probe's test accuracy on the features of a run's checkpoint.

    Args:
      workdir: the run's folder.
      kind: "linear" or "knn".
      checkpoint: see `trained.chosen_step`.
      output: "table" or "json".
    """
    saved = config_json.read(workdir)
    dataset = run_folder.as_known(saved, setup.dataset(saved.config))
    run_folder.check_data(saved, dataset)
    network = setup.network(saved.config, dataset)
    _, variables = trained.variables_of(saved, network, checkpoint)
    _probe(kind, dataset, network, variables, output)


def probe_weights(config: Config, *, kind: str, output: str) -> None:
    """Prints a probe's test accuracy on the features of other weights.

    Args:
      config: the resolved config. The weights come from `config.model.init_from`.
      kind: "linear" or "knn".
      output: "table" or "json".

    Raises:
      UserError: if `init_from` is not set, or the weights do not fit.
    """
    if config.model.init_from is None:
        raise UserError("--probe needs weights: set --config.model.init_from=PATH.")
    dataset, network, loaded, reports = trained.started(config, setup.dataset(config))
    for line in reports:
        console.say(line, to_stderr=True)  # stdout may be parsed as JSON
    # Variables that the weights lack (the head) are drawn from the seed.
    fresh = network.fresh_state(loaded)
    _probe(kind, dataset, network, fresh.variables(), output)


def _probe(
    kind: str,
    dataset: Dataset,
    network: Network,
    variables: Any,
    output: str,
) -> None:
    """Fits a probe to the features of the training split, and prints its test accuracy.

    Args:
      kind: "linear" or "knn".
      dataset: the data.
      network: the network.
      variables: the network's parameters and batch statistics.
      output: "table" or "json".
    """
    if dataset.label_kind != "class":
        raise UserError(
            "--probe needs one class label per image, but the images of this data "
            f"set have {dataset.labels.described}: use data with class labels."
        )
    if not models.has_map(network.model):
        raise UserError(
            "--probe needs feature maps before the head, but "
            f"{network.config.model.name} has no such maps: use another network."
        )
    if len(dataset.classes) < 2:
        raise UserError(
            f"--probe needs at least two classes, but the data set has only "
            f"{len(dataset.classes)}: use data with more classes."
        )
    if dataset.unseen:
        raise UserError(
            "--probe needs the same classes in the training and test splits, but the "
            "identities of this test split have no training images: use data with "
            "the same classes in both splits."
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
