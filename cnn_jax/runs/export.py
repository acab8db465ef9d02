"""Exports a run's weights in torchvision's format."""

import json
from pathlib import Path

from cnn_jax.runs import config_json, trained
from cnn_jax.training import setup
from cnn_jax.training.state import parameter_count
from cnn_jax.weights import torch_weights, weight_files


def export_weights(
    workdir: Path, path: Path, *, checkpoint: str | None, overwrite: bool
) -> str:
    """Writes a run's checkpoint as a state dict with torchvision's parameter names.

    Returns:
      A message for the user: one line that says what was written, and a second line
      if there is a warning.
    """
    weight_files.check_file(path, overwrite=overwrite)
    saved = config_json.read(workdir)
    config, dataset = saved.config, saved.dataset
    network = setup.network(config, dataset)
    entries = torch_weights.entries_of(
        config.model.name, network.model, dataset.image_shape
    )
    step, variables = trained.variables_of(saved, network, checkpoint)
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
            f"\nwarning: torchvision's own {config.model.name} cannot load this file, "
            f"because the run's network differs: {other}"
        )
    return report
