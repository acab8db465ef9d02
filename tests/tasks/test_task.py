"""A task of somebody else's, as small as it can be, and what the base class adds."""

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import models, tasks
from cnn_jax.core.errors import UserError
from cnn_jax.core.fit import Need
from cnn_jax.core.ranges import Positive
from cnn_jax.data.labels.kind import LabelKind
from cnn_jax.tasks import Task, metrics
from cnn_jax.tasks.metrics import weighted
from cnn_jax.training.config import keywords


class Number(LabelKind):
    described = "one number per image"


NUMBER = Number()


@dataclass(frozen=True)
class Counting(Task):
    """Learns a number per image."""

    best_metric: ClassVar[str] = "within"
    label_kind: ClassVar[str] = f"{__name__}.NUMBER"
    _: KW_ONLY
    tolerance: Positive = 0.5

    def loss(self, outputs, batch, auxiliary=()):
        return jnp.abs(outputs[:, 0] - batch["label"]).mean()

    def metrics(self, outputs, batch):
        errors = jnp.abs(outputs[:, 0] - batch["label"])
        mask = batch.get("mask", jnp.ones(len(errors)))
        within = (errors < self.tolerance).astype(jnp.float32)
        return {"loss": weighted(errors, mask), "within": weighted(within, mask)}


OUTPUTS = np.array([[1.0], [5.0], [2.25]], np.float32)
BATCH = {
    "image": np.zeros((3, 8, 8, 1), np.uint8),
    "label": np.array([1.0, 2.0, 2.0], np.float32),
    "mask": np.array([1.0, 1.0, 0.0], np.float32),
}
PAIR = {"a": [5.0], "b": [1.0, 2.25]}
PICTURE = np.zeros((8, 8, 1), np.uint8)
task = Counting()


def test_its_fields_are_its_keys():
    assert keywords(Counting).keys() == {"tolerance"}
    assert Counting(tuple("ab"), tolerance=2.0).classes == ("a", "b")


def test_scores_are_the_means_of_metrics():
    totals = metrics.add({}, jax.jit(task.metrics)(OUTPUTS, BATCH))
    assert task.scores(totals) == {"loss": 1.5, "within": 0.5}
    assert task.summaries(totals, []) == {} and task.collected == ()


def test_the_error_of_an_example_is_its_own_loss():
    found = jax.jit(task.predictions)(OUTPUTS, BATCH)
    np.testing.assert_array_equal(found["error"], [0, 3, 0.25])


@pytest.mark.parametrize(
    ("outputs", "answer"),
    [
        (OUTPUTS[:1], {"output": [1.0]}),
        ({"a": OUTPUTS[1:2], "b": [OUTPUTS[:1], OUTPUTS[2:]]}, PAIR),
        (np.zeros((1, 4, 5, 3)), {"output": "4x5x3"}),
    ],
)
def test_an_answer_has_the_numbers_of_an_output(outputs, answer):
    ((found,),) = task.answers([PICTURE], outputs, 5)
    assert found == answer


@pytest.mark.parametrize("shape", [(8, 8, 1), (20, 10, 3), (4, 8, 8, 1)])
def test_a_picture_is_drawn_with_the_answer(shape):
    picture = np.full(shape, 255, np.uint8)
    found = task.drawn(picture, OUTPUTS[0])
    assert found.dtype == np.uint8 and found.ndim == 3 and found.shape[-1] == 3
    assert (found < 128).any()  # letters


def test_a_picture_without_answers_is_drawn_too():
    class Silent(Counting):
        def answers(self, pictures, outputs, k):
            return [[] for _ in pictures]

    assert Silent().drawn(PICTURE, OUTPUTS[0]).shape[-1] == 3


def test_a_network_may_have_more_outputs_than_the_data_has_classes():
    found = [Counting(tuple("ab")).class_name(index) for index in (0, 1, 2)]
    assert found == ["a", "b", "output 2"]


def test_what_it_takes():
    part = task.part("Counting")
    assert [need.fact for need in part.takes] == ["label kind", "output kind"]
    assert part.takes[0].accepted == {Counting.label_kind}
    assert part.takes[0].words == "learns one number per image"


# ------------------------------------------------------------------ tasks by name


def test_a_task_by_name_or_path():
    assert tasks.find("classification") is tasks.TASKS["classification"]
    path = f"{tasks.Detection.__module__}.Detection"
    assert tasks.find(path) is tasks.Detection


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("detect", "unknown task 'detect'. Did you mean 'detection'"),
        ("cnn_jax.tasks.Detect", "there is no 'Detect' in .* mean 'Detection'"),
        ("cnn_jax.tasks.find", "must be a subclass of cnn_jax.tasks.Task"),
        ("flax.linen.Dense", "must be a subclass of cnn_jax.tasks.Task"),
        ("cnn_jax.tasks.Task", "must define best_metric, loss, metrics"),
    ],
)
def test_what_is_no_task(name, words):
    with pytest.raises(UserError, match=words):
        tasks.find(name)


# ---------------------------------------------------------------- every task of ours


@pytest.mark.parametrize("name", tasks.TASKS)
def test_a_task_says_what_it_is(name):
    made = tasks.TASKS[name](tuple("ab"))
    assert isinstance(made, Task) and hash(made) is not None
    assert isinstance(made.best_metric, str)
    assert made.output_kind in models.OUTPUTS
    takes = made.part("it").takes
    assert takes[:2] == Task.takes.fget(made)  # a subclass adds to these
    assert all(isinstance(need, Need) and need.words for need in takes)
