"""Frozen parameters do not change by a bit; the others are trained as usual."""

import itertools
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from cnn_jax import layers, models
from cnn_jax.core.errors import UserError
from cnn_jax.data.augment import Augment, normalize
from cnn_jax.tasks import Classification
from cnn_jax.training import averages, freezing, optimizers, parallel, state
from cnn_jax.training.freezing import Part
from cnn_jax.training.step import make_train_step

CLASSES, SHAPE, BATCH = 3, (6, 6, 1), 4


class Net(nn.Module):
    """Two convolutions with normalization, and a head."""

    num_classes: int = CLASSES

    @nn.compact
    def __call__(self, x, train):
        for i in (1, 2):
            x = layers.Conv(4, 3, name=f"conv{i}")(x)
            x = layers.batch_norm(train)(name=f"norm{i}")(x)
            x = nn.relu(x)
        return nn.Dense(self.num_classes, name="head")(x.mean((1, 2)))


PATHS = list(freezing.shapes_of(Net(), SHAPE))


def plan_of(**options):
    return freezing.make(lambda: PATHS, **options)


def batch_of(seed):
    rng = np.random.default_rng(seed)
    return {
        "image": rng.integers(0, 256, (BATCH, *SHAPE), np.uint8),
        "label": rng.integers(0, CLASSES, BATCH).astype(np.int32),
        "index": np.arange(BATCH, dtype=np.int32),
        "epoch": np.zeros(BATCH, np.int32),
    }


def trained(optimizer, plan=None, steps=3, ema_decay=None):
    """The states before and after each step, on the host."""
    model = Net()

    def phase_at(step):
        return plan.phase(step) if plan else freezing.EVERYTHING

    def step_at(step):
        return parallel.train_step(
            make_train_step(
                model,
                Classification(tuple("abc")),
                optimizer,
                augmentation=Augment(),
                normalize=partial(normalize, mean=(0.4,), std=(0.3,)),
                averaging=averages.make(steps, ema_decay=ema_decay),
                phase=phase_at(step),
            )
        )

    now = parallel.replicate(
        state.create(
            model,
            optimizer,
            SHAPE,
            seed=0,
            ema=ema_decay is not None,
            phase=plan.ever() if plan else freezing.EVERYTHING,
        )
    )
    states = [jax.device_get(now)]
    for number in range(steps):
        now, _ = step_at(number)(
            now, parallel.put_batch(batch_of(number)), jax.random.key(0)
        )
        states.append(jax.device_get(now))
    return states


def sgd(**options):
    return optimizers.sgd(lambda _: 0.1, **options)


def moved(before, after):
    """Whether each variable has changed at all."""
    before, after = flatten_dict(before), flatten_dict(after)
    return {k: not np.array_equal(before[k], after[k]) for k in before}


def test_paths_are_in_the_networks_order():
    modules = {"conv": ["kernel", "bias"], "norm": ["scale", "bias"]}
    expected = [
        (f"{module}{i}", name)
        for i in (1, 2)
        for module, names in modules.items()
        for name in names
    ]
    expected += [("head", "kernel"), ("head", "bias")]
    assert expected == PATHS


@pytest.mark.parametrize("ema_decay", [pytest.param(None, marks=pytest.mark.full), 0.9])
def test_what_rests_stays_to_the_bit(ema_decay):
    plan = plan_of(freeze=".*1")
    first, *_, last = trained(sgd(), plan, ema_decay=ema_decay)
    for path, change in moved(first.params, last.params).items():
        assert change != path[0].endswith("1")
    for path, change in moved(first.batch_stats, last.batch_stats).items():
        assert change != path[0].endswith("1")
    if ema_decay:
        averages = moved(first.ema, last.ema)
        assert {k for k, v in averages.items() if not v} >= {
            ("params", "conv1", "kernel"),
            ("batch_stats", "norm1", "mean"),
        }
        assert averages["params", "conv2", "kernel"]
    # Nor does the optimizer have memory for it.
    assert {p[0] for p in flatten_dict(last.opt_state[1][0].trace)} == {
        "conv2",
        "norm2",
        "head",
    }


def test_a_normalization_that_rests_is_that_of_evaluation():
    """The gradient of the head is the one of a network in evaluation."""
    plan = plan_of(train_only="head")
    first, second, *_ = trained(sgd(momentum=0.0), plan)
    batch = batch_of(0)
    images = (batch["image"] / 255 - 0.4) / 0.3

    def loss(head):
        rest = jax.tree.map(jnp.asarray, first)
        variables = {"params": rest.params | {"head": head}}
        variables["batch_stats"] = rest.batch_stats
        logits = Net().apply(variables, jnp.asarray(images, jnp.float32), train=False)
        rows = jax.nn.log_softmax(logits)
        return -rows[jnp.arange(BATCH), batch["label"]].mean()

    grads = jax.grad(loss)(first.params["head"])
    for name in ("kernel", "bias"):
        np.testing.assert_allclose(
            second.params["head"][name],
            first.params["head"][name] - 0.1 * grads[name],
            rtol=1e-5,
            atol=1e-6,
        )


def test_gradients_of_what_rests_are_not_computed():
    def operations(plan):
        step = make_train_step(
            Net(),
            Classification(tuple("abc")),
            sgd(),
            augmentation=Augment(),
            normalize=partial(normalize, mean=(0.4,), std=(0.3,)),
            phase=plan.phase(0) if plan else freezing.EVERYTHING,
        )
        now = state.create(
            Net(), sgd(), SHAPE, seed=0, ema=False,
            phase=plan.ever() if plan else freezing.EVERYTHING,
        )  # fmt: skip
        jaxpr = jax.make_jaxpr(step, axis_env=[(parallel.AXIS, 1)])(
            now, batch_of(0), jax.random.key(0)
        )
        return str(jaxpr).count("= convolution")  # and "= convolution_filter_gradient"

    every, without_first, head = (
        operations(plan)
        for plan in (None, plan_of(freeze=".*1"), plan_of(train_only="head"))
    )
    # Forward: two. Backward: two kernels and one input; one kernel; none.
    assert (every, without_first, head) == (5, 3, 2)


def test_groups_begin_one_after_the_other():
    plan = plan_of(train_only="head", unfreeze=(".*2", ".*1"), unfreeze_every=2)
    assert plan.starts == (2, 4)
    groups = plan.groups()
    optimizer = optimizers.grouped(
        {name: sgd() for name in groups.values()}, lambda p: groups[plan.parts[p]]
    )
    states = trained(optimizer, plan, steps=5)
    for number, (before, after) in enumerate(itertools.pairwise(states)):
        changed = {p[0] for p, v in moved(before.params, after.params).items() if v}
        statistics = moved(before.batch_stats, after.batch_stats)
        changed |= {p[0] for p, v in statistics.items() if v}
        expected = {"head"}
        expected |= {"conv2", "norm2"} if number >= 2 else set()
        expected |= {"conv1", "norm1"} if number >= 4 else set()
        assert changed == expected, number


def test_a_group_that_rested_has_the_learning_rate_of_its_step():
    rates = jnp.asarray([0.5, 0.25, 0.125, 0.0625])
    plan = plan_of(freeze=".*1", unfreeze=(".*2",), unfreeze_every=2, layer_decay=0.5)
    groups = plan.groups()

    def schedule(part, count):
        return part.rate * rates[count + part.start]

    optimizer = optimizers.grouped(
        {
            name: optimizers.sgd(partial(schedule, part), momentum=0.0)
            for part, name in groups.items()
        },
        lambda path: groups[plan.parts[path]],
    )
    ones = unflatten_dict({path: jnp.ones(()) for path in PATHS})
    opt_state = optimizer.init(plan.ever().split(ones)[0])
    for step, rate in enumerate([0.5, 0.25, 0.125, 0.0625]):
        given, _ = plan.phase(step).split(ones)
        changes, opt_state = optimizer.update(given, opt_state, given)
        assert changes.keys() == ({"head"} if step < 2 else {"head", "conv2", "norm2"})
        assert float(changes["head"]["bias"]) == -rate
        if step >= 2:
            assert float(changes["conv2"]["kernel"]) == -rate / 2
            assert float(changes["norm2"]["scale"]) == -rate / 2


def test_layer_decay_counts_a_normalization_with_its_convolution():
    rates = {p[0]: part.rate for p, part in plan_of(layer_decay=0.5).parts.items()}
    assert rates == {
        "conv1": 0.25,
        "norm1": 0.25,
        "conv2": 0.5,
        "norm2": 0.5,
        "head": 1,
    }
    vgg = models.create("vgg11_bn", num_classes=2, width=4)
    names = list(freezing.shapes_of(vgg, (32, 32, 3)))
    parts = freezing.make(lambda: names, layer_decay=0.9).parts
    rates = {path[0]: part.rate for path, part in parts.items()}
    assert rates["head"] == 1 and rates["norm1_1"] == rates["conv1_1"]
    assert rates["conv1_1"] == pytest.approx(0.9**10)  # eight convolutions, two layers


def test_what_patterns_mean():
    def chosen(pattern):
        return {"/".join(p) for p in freezing.matching("freeze", pattern, PATHS)}

    assert chosen("head") == {"head/kernel", "head/bias"}
    assert chosen(".*/bias|head/.*") == {
        *(f"{m}/bias" for m in ("conv1", "norm1", "conv2", "norm2")),
        *("head/kernel", "head/bias"),
    }
    assert chosen("conv.") == {
        f"conv{i}/{n}" for i in (1, 2) for n in ("kernel", "bias")
    }


def test_nothing_asked_for_is_no_plan():
    assert plan_of() is None
    assert plan_of(train_only="head").groups() == {Part(): "0"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"train_only": "haed"}, "train_only=haed matches no parameter.* conv1, norm1"),
        ({"groups": ("conv3/kernel: frozen=True",)}, "mean conv2/kernel or conv1/kern"),
        (
            {"groups": ("conv(: frozen=True",)},
            "groups=conv[(] is no regular expression",
        ),
        ({"groups": (".*: frozen=True",)}, "leave no parameter to train"),
        ({"groups": (".*/bias: weight_decay=0.1",)}, "does not apply to biases"),
        ({"freeze": "conv("}, "freeze=conv[(] is no regular expression"),
        ({"train_only": "head", "freeze": "head"}, "leave no parameter to train"),
        ({"unfreeze": ("conv1",)}, "unfreeze_every_steps"),
        ({"unfreeze_every": 3}, "set both"),
    ],
)
def test_mistakes(options, words):
    with pytest.raises(UserError, match=words):
        plan_of(**options)


def test_groups_change_how_their_parameters_are_trained():
    plan = plan_of(
        layer_decay=0.5,
        freeze="norm2",
        groups=(
            "conv.: learning_rate_factor=0.5, weight_decay=0.1",
            "conv2/kernel: learning_rate_factor=4.0, weight_decay=0.0",
            "norm1: frozen=True",
            "norm2: frozen=False",
        ),
    )
    parts = {"/".join(path): part for path, part in plan.parts.items()}
    assert parts["conv1/kernel"] == Part(0, 0.125, 0.1)
    assert parts["conv2/kernel"] == Part(0, 1.0, 0.0)
    assert parts["conv2/bias"] == Part(0, 0.25, 0.1)
    assert parts["norm1/scale"].start is None
    assert parts["norm2/scale"] == Part(0, 0.5)
    assert parts["head/bias"] == Part()
