"""A step against the arithmetic of softmax regression, written out in NumPy."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import layers, models
from cnn_jax.data.augment import Augment, normalize
from cnn_jax.tasks import Classification
from cnn_jax.training import averages, optimizers, parallel, state
from cnn_jax.training.step import in_parts, make_train_step

CLASSES, SHAPE, BATCH = 3, (2, 2, 1), 4
RATES = [0.5, 0.1, 0.3]
task = Classification(tuple("abc"))
scaled = partial(normalize, mean=(0.4,), std=(0.3,))


def schedule(step):
    return jnp.asarray(RATES)[step]


def batch_of(seed, size=BATCH):
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (size, *SHAPE), np.uint8),
        "label": rng.integers(0, CLASSES, size).astype(np.int32),
        "index": np.arange(size, dtype=np.int32),
        "epoch": np.zeros(size, np.int32),
    }


def trained(model, optimizer, averaging=None, accumulate=1):
    """The states before and after each step, on the host, and the metrics."""
    step = parallel.train_step(
        make_train_step(
            model,
            task,
            optimizer,
            augmentation=Augment(),
            normalize=scaled,
            averaging=averaging,
            accumulate=accumulate,
        )
    )
    now = state.create(model, optimizer, SHAPE, seed=0, ema=averaging is not None)
    now = parallel.replicate(now)
    states, metrics = [jax.device_get(now)], []
    for number in range(len(RATES)):
        now, pairs = step(now, parallel.put_batch(batch_of(number)), jax.random.key(0))
        states.append(jax.device_get(now))
        metrics.append(jax.device_get(pairs))
    return states, metrics


def inputs(batch):
    x = (batch["image"].astype(np.float64) / 255 - 0.4) / 0.3
    return x.reshape(len(x), -1)


def chances(x, params):
    logits = x @ params["head"]["kernel"].astype(np.float64) + params["head"]["bias"]
    powers = np.exp(logits)
    return powers / powers.sum(-1, keepdims=True)


def test_gradient_steps_of_a_linear_model():
    model = models.create("mlp", num_classes=CLASSES, hidden=())
    sgd = optimizers.sgd(schedule, momentum=0.0)
    states, metrics = trained(model, sgd)
    for number, rate in enumerate(RATES):
        batch, params = batch_of(number), states[number].params
        x, y = inputs(batch), np.eye(CLASSES)[batch["label"]]
        p = chances(x, params)
        gradients = {"kernel": x.T @ (p - y) / BATCH, "bias": (p - y).mean(0)}
        after = states[number + 1].params["head"]
        for name, gradient in gradients.items():
            np.testing.assert_allclose(
                after[name],
                params["head"][name] - rate * gradient,
                rtol=1e-4,
                atol=1e-6,
            )
        found = {
            name: total / count for name, (total, count) in metrics[number].items()
        }
        norm = np.sqrt(sum(np.sum(g**2) for g in gradients.values()))
        assert found == pytest.approx(
            {
                "loss": -np.log(p[np.arange(BATCH), batch["label"]]).mean(),
                "objective": -np.log(p[np.arange(BATCH), batch["label"]]).mean(),
                "accuracy": np.mean(p.argmax(-1) == batch["label"]),
                "gradient_norm": norm,
            },
            rel=1e-4,
        )
        assert states[number].step == number
    assert states[-1].step == len(RATES) and states[-1].ema is None


def test_the_average_of_the_parameters():
    model = models.create("mlp", num_classes=CLASSES, hidden=())
    sgd = optimizers.sgd(schedule)
    states, _ = trained(model, sgd, averaging=averages.make(3, ema_decay=0.8))
    average = states[0].params["head"]["kernel"]
    np.testing.assert_array_equal(states[0].ema["params"]["head"]["kernel"], average)
    for step, after in enumerate(states[1:]):
        decay = min(0.8, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * after.params["head"]["kernel"]
        np.testing.assert_allclose(
            after.ema["params"]["head"]["kernel"], average, rtol=1e-5, atol=1e-6
        )
    assert states[-1].variables() is states[-1].ema
    # It only watches.
    plain, _ = trained(model, sgd)
    assert plain[-1].variables()["params"] is plain[-1].params
    np.testing.assert_array_equal(
        states[-1].params["head"]["kernel"], plain[-1].params["head"]["kernel"]
    )


def test_stochastic_weight_averaging():
    model = models.create("mlp", num_classes=CLASSES, hidden=())
    states, _ = trained(
        model, optimizers.sgd(schedule), averaging=averages.make(3, swa_start=0.4)
    )
    kernels = [state.params["head"]["kernel"] for state in states]
    found = [state.ema["params"]["head"]["kernel"] for state in states]
    expected = [*kernels[:3], (kernels[2] + kernels[3]) / 2]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_schedule_free_optimizer_is_evaluated_at_its_average():
    model = models.create("mlp", num_classes=CLASSES, hidden=())
    optimizer = optimizers.find("schedule_free_sgd")(lambda _: 0.1, b1=0.9)
    states, _ = trained(model, optimizer, averaging=averages.make(3, True))
    z = [states[0].params["head"]["kernel"]]
    z += [state.opt_state.z["head"]["kernel"] for state in states[1:]]
    # With a constant rate, all steps have equal weights in the average.
    found = states[-1].variables()["params"]["head"]["kernel"]
    np.testing.assert_allclose(found, np.mean(z[1:], axis=0), rtol=1e-4, atol=1e-5)
    assert np.abs(found - states[-1].params["head"]["kernel"]).max() > 1e-4


class Normed(nn.Module):
    """Batch normalization of the pixels, then a linear classifier."""

    @nn.compact
    def __call__(self, x, train):
        x = layers.BatchNorm(use_running_average=not train, name="norm")(x)
        return layers.Dense(CLASSES, name="head")(layers.Flatten()(x))


def test_the_average_has_statistics_of_its_own():
    states, _ = trained(
        Normed(), optimizers.sgd(schedule), averaging=averages.make(3, ema_decay=0.8)
    )
    average = states[0].batch_stats["norm"]["mean"]
    for step, after in enumerate(states[1:]):
        decay = min(0.8, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * after.batch_stats["norm"]["mean"]
    found = states[-1].variables()["batch_stats"]["norm"]["mean"]
    np.testing.assert_allclose(found, average, rtol=1e-5, atol=1e-6)
    assert np.abs(found - states[-1].batch_stats["norm"]["mean"]).max() > 1e-3


def test_running_statistics():
    states, _ = trained(Normed(), optimizers.sgd(schedule))
    mean, var = 0.0, 1.0
    for number in range(len(RATES)):
        x = inputs(batch_of(number))
        mean = 0.9 * mean + 0.1 * x.mean()
        var = 0.9 * var + 0.1 * x.var()
        found = states[number + 1].batch_stats["norm"]
        np.testing.assert_allclose(found["mean"], [mean], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found["var"], [var], rtol=1e-5)


@pytest.mark.parametrize("accumulate", [2, 4])
def test_a_batch_in_parts_gives_the_same_step(accumulate):
    model = models.create("mlp", num_classes=CLASSES, hidden=())
    sgd = optimizers.sgd(schedule)
    whole, metrics = trained(model, sgd)
    parts, same_metrics = trained(model, sgd, accumulate=accumulate)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4), whole, parts)
    for before, after in zip(metrics, same_metrics, strict=True):
        assert before.keys() == after.keys()
        for name, (total, count) in before.items():
            mean = after[name][0] / after[name][1]
            np.testing.assert_allclose(mean, total / count, rtol=1e-5, err_msg=name)
            if name in ("loss", "accuracy"):
                assert after[name][1] == BATCH


def test_each_part_updates_the_running_statistics():
    states, _ = trained(Normed(), optimizers.sgd(schedule), accumulate=2)
    mean = 0.0
    for part in np.split(inputs(batch_of(0)), 2):
        mean = 0.9 * mean + 0.1 * part.mean()
    found = states[1].batch_stats["norm"]["mean"]
    np.testing.assert_allclose(found, [mean], rtol=1e-5, atol=1e-6)


def test_each_part_has_its_own_random_key():
    def gradient(statistics, batch, key):
        drawn = jax.random.uniform(key)
        return batch["label"].mean(), (statistics + 1, {"drawn": (drawn, 1.0)})

    batch = {"label": jnp.arange(6.0)}
    grads, (statistics, pairs) = in_parts(gradient, 0, batch, jax.random.key(0), 3)
    assert (grads, statistics) == (2.5, 3)
    keys = [jax.random.fold_in(jax.random.key(0), number) for number in range(3)]
    drawn = sum(jax.random.uniform(key) for key in keys)
    np.testing.assert_allclose(pairs["drawn"], (drawn, 3))


def test_the_second_gradient_of_sharpness_aware_minimization():
    """The second gradient is of the same batch, and changes no batch statistics."""
    made = optimizers.sgd(schedule, momentum=0.0)
    sharp, metrics = trained(
        Normed(), optimizers.make(made, learning_rate=0.1, sam_radius=0.5)
    )
    first, after = sharp[:2]
    batch = batch_of(0)
    x, y = inputs(batch), np.eye(CLASSES)[batch["label"]]
    mean, deviation = x.mean(), np.sqrt(x.var() + 1e-5)
    np.testing.assert_allclose(after.batch_stats["norm"]["mean"], 0.1 * mean, rtol=1e-4)

    def gradients(params):
        scale, bias = (float(params["norm"][key][0]) for key in ("scale", "bias"))
        z = scale * (x - mean) / deviation + bias
        at_logits = (chances(z, params) - y) / BATCH
        at_z = at_logits @ np.transpose(params["head"]["kernel"]).astype(np.float64)
        return {
            "head": {"kernel": z.T @ at_logits, "bias": at_logits.sum(0)},
            "norm": {
                "scale": np.sum(at_z * (x - mean) / deviation, keepdims=True)[0],
                "bias": np.sum(at_z, keepdims=True)[0],
            },
        }

    grads = gradients(first.params)
    norm = np.sqrt(sum(np.sum(g**2) for g in jax.tree.leaves(grads)))
    total, count = metrics[0]["gradient_norm"]
    assert total / count == pytest.approx(norm, rel=1e-4)
    higher = jax.tree.map(lambda p, g: p + 0.5 * g / norm, first.params, grads)
    wanted = jax.tree.map(
        lambda p, g: p - RATES[0] * g, first.params, gradients(higher)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
        after.params,
        wanted,
    )
