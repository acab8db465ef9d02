"""Batches with the outputs of a teacher."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.data import augment
from cnn_jax.tasks.task import TEACHER
from cnn_jax.training import parallel, teaching
from cnn_jax.training.state import stream

SHAPE = (4, 4, 1)


class Means(nn.Module):
    """A network whose output depends on the place of each pixel."""

    @nn.compact
    def __call__(self, images, train):
        assert not train
        return nn.Dense(3, name="head")(images.reshape(len(images), -1))


def test_the_teacher_sees_the_augmented_images():
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 256, (8, *SHAPE), np.uint8),
        "label": np.zeros(8, np.int32),
        "index": np.arange(8, dtype=np.int32),
        "epoch": np.zeros(8, np.int32),
    }
    model, normalize = Means(), partial(augment.normalize, mean=(0.4,), std=(0.3,))
    variables = model.init(jax.random.key(1), jnp.zeros((1, *SHAPE)), train=False)
    teacher = teaching.Teacher(model, variables, normalize, {})
    augmentation = augment.make(("crop(padding=2)", "flip(probability=0.5)"), "class")
    # The step returns what it gets.
    step = teaching.taught(teacher, augmentation, lambda *given: given)
    key = jax.random.key(0)
    state, taught, used = step("state", parallel.put_batch(batch), key)
    assert state == "state" and used is key
    rows = parallel.take_rows(taught)
    on_device = jax.tree.map(jnp.asarray, batch)
    expected = augmentation(stream(key, "augment"), on_device)
    for name in batch:
        np.testing.assert_array_equal(rows[name], expected[name])
    assert (rows["image"] != batch["image"]).any()
    outputs = model.apply(variables, normalize(expected["image"]), train=False)
    np.testing.assert_allclose(rows[TEACHER], outputs, rtol=1e-5, atol=1e-5)
