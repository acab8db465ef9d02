"""Teachers of runs, from their folders."""

import dataclasses

import jax
import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.runs import config_json, teachers
from cnn_jax.runs.resolve import resolve
from cnn_jax.training import setup


@pytest.fixture(scope="module")
def network(made, values, few_digits):
    """The network that learns from the teacher in `made.workdir`."""
    task = {"name": "distillation", "teacher": str(made.workdir)}
    config = resolve(values(task=task, model={"widths": (3,)}))
    return setup.network(config, few_digits)


def placed(network, folder):
    task = dataclasses.replace(network.task, teacher=str(folder))
    return dataclasses.replace(network, task=task)


def test_the_best_checkpoint_teaches(made, network):
    teacher = teachers.of(network)
    assert teacher.facts == {
        "config_hash": config_json.read(made.workdir).content["config_hash"],
        "step": 2,
    }
    expected = made.states[2].variables()
    jax.tree.map(np.testing.assert_array_equal, teacher.variables, expected)
    assert teachers.of(made.network) is None


def test_a_teacher_that_is_not_there(network, tmp_path):
    with pytest.raises(UserError, match=r"config\.task\.teacher is not set"):
        teachers.of(placed(network, ""))
    with pytest.raises(UserError):
        teachers.of(placed(network, tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"image_shape": (16, 16, 1)},
            r"has the image shape \(8, 8, 1\), and this run",
        ),
        ({"task": ("a", "b")}, "has the classes"),
    ],
)
def test_a_teacher_that_does_not_fit(network, change, message):
    if "task" in change:
        task = dataclasses.replace(network.task, classes=change["task"])
        change = {"task": task}
    with pytest.raises(UserError, match=message):
        teachers.of(dataclasses.replace(network, **change))


def test_another_teacher_than_at_the_start(made, network):
    saved = config_json.read(made.workdir)
    facts = teachers.of(network).facts
    for known, fits in ((facts, True), (facts | {"step": 4}, False)):
        resumed = saved._replace(content=saved.content | {"teacher": known})
        if fits:
            assert teachers.of(network, resumed).facts == facts
            continue
        with pytest.raises(UserError, match="has changed since the run in"):
            teachers.of(network, resumed)
