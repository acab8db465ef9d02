"""The number of parts into which a batch is divided, chosen by the memory of a device.

Parts are computed one after another; see `step.in_parts`.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from cnn_jax.core import memory
from cnn_jax.core.errors import UserError
from cnn_jax.data import labels
from cnn_jax.runs.config_json import Saved
from cnn_jax.training import machine
from cnn_jax.training.parallel import AUTO
from cnn_jax.training.setup import Training

MARGIN = 0.9  # the share of the memory that a step may need


def settled(training: Training, saved: Saved | None) -> Training:
    """Returns the training with a number of parts in place of `AUTO`.

    Args:
      training: how the network is trained.
      saved: the content of the run's config.json; a run that resumes keeps its number.
        None if the run has not begun.
    """
    if training.config.train.accumulate != AUTO:
        return training
    parts = saved.content.get("accumulate") if saved else None
    if parts is None or _rows(training) % parts:  # on another number of devices
        parts = chosen(training)
    return dataclasses.replace(training, accumulate=parts)


def chosen(training: Training) -> int:
    """Returns the smallest number of parts with which a training step fits in memory.

    The number is a power of two that divides the examples of a device. The memory of a
    step is that of its compiled program, so each try compiles the step.

    Raises:
      UserError: no such step fits.
    """
    rows = _rows(training)
    most = machine.memory_stats().get("bytes_limit", memory.total())
    parts, needed = 1, 0
    while rows % parts == 0:
        needed = step_memory(dataclasses.replace(training, accumulate=parts))
        if needed <= MARGIN * most:
            return parts
        parts *= 2
    raise UserError(
        f"config.train.accumulate={AUTO}: a training step with "
        f"{2 * rows // parts:,} examples at a time needs {needed / 2**30:,.1f} GiB of "
        f"memory, and there are only {most / 2**30:,.1f} GiB. Take smaller images, a "
        "smaller network, or a batch size that is a power of two."
    )


def step_memory(training: Training) -> int:
    """Returns the bytes of memory that a training step needs on each device.

    The teacher of a distillation is not included.
    """
    network = training.network
    shape = (jax.local_device_count(), _rows(training))
    shapes = {
        "image": (network.image_shape, network.image_type),
        "label": (network.label_shape, labels.find(network.label_kind).dtype),
        **dict.fromkeys(("index", "epoch"), ((), np.int32)),
    }
    batch = {
        name: jax.ShapeDtypeStruct((*shape, *of_one), dtype)
        for name, (of_one, dtype) in shapes.items()
    }
    key = jax.eval_shape(lambda: jax.random.key(0))
    step: Any = dataclasses.replace(training, teacher=None).step()
    compiled = step.lower(training.state_shapes, batch, key).compile()
    found = compiled.memory_analysis()
    kept = found.argument_size_in_bytes + found.output_size_in_bytes
    return kept + found.temp_size_in_bytes - found.alias_size_in_bytes


def _rows(training: Training) -> int:
    """Returns the number of examples of a device in a batch."""
    return training.config.data.batch_size // jax.device_count()
