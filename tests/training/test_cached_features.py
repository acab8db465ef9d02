"""Training on maps that were computed once, beside training on the images."""

import dataclasses
from functools import partial

import jax
import numpy as np
import pytest

from cnn_jax import models
from cnn_jax.core.errors import UserError
from cnn_jax.data.augment import Augment, normalize
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.splits import Arrays
from cnn_jax.runs.resolve import resolve
from cnn_jax.tasks import Classification
from cnn_jax.training import (
    cached_features,
    freezing,
    optimizers,
    parallel,
    setup,
    state,
)
from cnn_jax.training.step import make_eval_step, make_train_step

SHAPE, CLASSES, COUNT = (8, 8, 1), 3, 70
scale = partial(normalize, mean=(0.4,), std=(0.3,))


@pytest.fixture(scope="module")
def dataset():
    rng = np.random.default_rng(0)
    splits = {
        role: Arrays(
            rng.integers(0, 256, (count, *SHAPE), np.uint8),
            rng.integers(0, CLASSES, count).astype(np.int32),
        )
        for role, count in (("train", COUNT), ("test", 5))
    }
    return Dataset(splits, tuple("abc"), SHAPE, (0.4,), (0.3,))


def plan_of(model, train_only="head|fc.*"):
    paths = list(freezing.shapes_of(model, SHAPE))
    return freezing.make(lambda: paths, train_only=train_only)


NETWORKS = {
    "plain": {"widths": (4, 6)},
    "plain, pyramid": {"widths": (4,), "head": "pyramid", "pyramid_levels": (2,)},
    "plain, hidden": {"widths": (4,), "head": "flatten_fc", "head_width": (5,)}
    | {"dropout": 0.5},
    "squeezenet1_1": {"stem": "small", "width_multiplier": 0.1},
}


@pytest.mark.full
@pytest.mark.parametrize("name", NETWORKS)
def test_the_head_learns_the_same(name, dataset):
    model = models.create(name.split(",")[0], num_classes=CLASSES, **NETWORKS[name])
    plan = plan_of(model)
    assert cached_features.obstacle(model, plan, dataset, augmented=False) is None
    optimizer, task = optimizers.sgd(lambda _: 0.1), Classification(tuple("abc"))
    step = parallel.train_step(
        make_train_step(
            model,
            task,
            optimizer,
            augmentation=Augment(),
            normalize=scale,
            phase=plan.phase(0),
        )
    )
    evaluate = parallel.eval_step(make_eval_step(model, task, normalize=scale))
    found = []
    for cache in (False, True):
        now = state.create(
            model, optimizer, SHAPE, seed=0, ema=False, phase=plan.ever()
        )
        split = dataset.splits["train"]
        if cache:
            maps = cached_features.maps_of(model, scale, now.variables(), split)
            assert len(maps) == COUNT
        now = parallel.replicate(now)
        for number in range(3):
            index = np.arange(number * 20, number * 20 + 20, dtype=np.int32)
            batch = {"image": split.images[index], "label": split.labels[index]}
            batch |= {"index": index, "epoch": np.zeros(20, np.int32)}
            if cache:
                batch["features"] = maps[index]
                # The images themselves are not looked at any more.
                batch["image"] = np.zeros_like(batch["image"])
            now, pairs = step(now, parallel.put_batch(batch), jax.random.key(0))
        del batch["epoch"]
        batch["mask"] = np.ones(20, np.float32)
        scores, _ = evaluate(now.variables(), parallel.put_batch(batch))
        found.append(jax.device_get((now.params, now.batch_stats, pairs, scores)))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-6), *found)


def test_what_stands_in_the_way(dataset):
    plain = models.create("plain", num_classes=CLASSES, widths=(4, 6))
    head = plan_of(plain)

    def reason(model=plain, plan=head, data=dataset, augmented=False):
        return cached_features.obstacle(model, plan, data, augmented=augmented)

    assert reason() is None
    assert reason(plan=None) == "more than the head is trained"
    assert reason(plan=plan_of(plain, "head|stage2.*")) == reason(plan=None)
    assert reason(augmented=True) == "images are augmented"
    mlp = models.create("mlp", num_classes=CLASSES)
    assert "no feature maps" in reason(mlp, plan_of(mlp))
    small = {"width": 4, "stage_sizes": (1, 1), "stem": "small"}
    deep = models.create("resnet18", num_classes=CLASSES, **small)
    assert reason(deep, plan_of(deep)) is None
    deep = models.create("resnet18", num_classes=CLASSES, stochastic_depth=0.5, **small)
    assert "uses random numbers" in reason(deep, plan_of(deep))
    large = dataset.splits["train"]
    large = Arrays(np.broadcast_to(large.images[:1], (10**7, *SHAPE)), large.labels)
    large = dataclasses.replace(dataset, splits={"train": large})
    assert "GiB" in reason(data=large)


def test_later_groups_stand_in_the_way_too(dataset):
    plain = models.create("plain", num_classes=CLASSES, widths=(4, 6))
    paths = list(freezing.shapes_of(plain, SHAPE))
    plan = freezing.make(
        lambda: paths, train_only="head", unfreeze=("stage2.*",), unfreeze_every=5
    )
    assert cached_features.obstacle(plain, plan, dataset, augmented=False)


@pytest.fixture
def frozen(values, few_digits):
    """`frozen(**train)`: the arguments of `with_features` where the head is trained."""

    def make(data=None, **train):
        config = resolve(
            values(train=train, optimizer={"train_only": "head"}, data=data or {})
        )
        network = setup.network(config, few_digits)
        training = setup.training(network, 24)
        variables = parallel.replicate(network.fresh_state().variables())
        return training, few_digits, variables

    return make


def test_maps_before_the_head_are_computed_once(frozen):
    found, said = cached_features.with_features(*frozen())
    shapes = {role: split.features.shape for role, split in found.splits.items()}
    assert shapes == {
        "train": (24, 8, 8, 2),
        "val": (16, 8, 8, 2),
        "test": (20, 8, 8, 2),
    }
    assert said == "the feature maps before the head are cached: 0.0 MiB"
    assert isinstance(found.splits["train"], Arrays)


def test_maps_that_are_not_computed(frozen, made):
    for arguments in (
        frozen(cache_features=False),
        frozen({"augmentations": ("crop(padding=1)",)}),
    ):
        assert cached_features.with_features(*arguments) == (arguments[1], None)
    training = setup.training(made.network, 24)
    arguments = training, made.dataset, made.states[2].ema
    assert cached_features.with_features(*arguments) == (made.dataset, None)


def test_maps_that_are_asked_for_and_cannot_be(frozen):
    arguments = frozen({"augmentations": ("crop(padding=1)",)}, cache_features=True)
    with pytest.raises(UserError, match="is not possible: images are augmented"):
        cached_features.with_features(*arguments)
