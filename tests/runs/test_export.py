"""A run's weights with torchvision's names."""

import json

import jax
import numpy as np
import pytest
import safetensors

from cnn_jax import runs
from cnn_jax.core.errors import UserError
from cnn_jax.runs import config_json
from cnn_jax.runs.resolve import resolve
from cnn_jax.training import parallel, setup
from cnn_jax.training.checkpoints import Checkpoints
from cnn_jax.training.progress import Progress
from cnn_jax.weights import torch_weights

RESNET = {
    "name": "resnet18",
    "width": 4,
    "stage_sizes": (1,),
    "stem": "small",
}


def test_a_run_becomes_a_file_with_torchvisions_names(values, tmp_path, few_digits):
    given = values()
    given["model"] = RESNET
    config = resolve(given)
    folder, path = tmp_path / "run", tmp_path / "w.safetensors"
    config_json.describe(folder, config, few_digits, {})
    network = setup.network(config, few_digits)
    state = parallel.replicate(network.fresh_state())
    metric = "test/accuracy"
    with Checkpoints(folder / "checkpoints", best_metric=metric) as checkpoints:
        checkpoints.save(3, state, Progress({}, metric).saved(), {metric: 0.5})
    said = runs.export_weights(folder, path, checkpoint="best", overwrite=False)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    assert f"{parameters:,} parameters, 10 classes, from step 3 of {folder}" in said
    assert "warning: torchvision's own resnet18 cannot load this file" in said
    with safetensors.safe_open(path, framework="np") as file:
        facts = file.metadata()
        kernel = file.get_tensor("fc.weight")
    np.testing.assert_array_equal(kernel.T, state.params["head"]["kernel"])
    assert json.loads(facts["model"]) == "resnet18"
    assert json.loads(facts["image_shape"]) == [8, 8, 1]
    assert json.loads(facts["mean"]) == list(few_digits.mean)
    entries = torch_weights.entries_of("resnet18", network.model, (8, 8, 1))
    assert f"resnet18: {len(entries)} entries" in said
    with pytest.raises(UserError, match="exists; --overwrite replaces the file"):
        runs.export_weights(folder, path, checkpoint="best", overwrite=False)


def test_an_export_writes_nothing_where_it_cannot(made, tmp_path):
    path = tmp_path / "w.safetensors"
    with pytest.raises(UserError, match="no counterpart of 'plain'"):
        runs.export_weights(made.workdir, path, checkpoint="best", overwrite=False)
    with pytest.raises(UserError, match=r"must be a \.safetensors file"):
        runs.export_weights(
            made.workdir, tmp_path / "w.pth", checkpoint="best", overwrite=False
        )
    assert not list(tmp_path.iterdir())
