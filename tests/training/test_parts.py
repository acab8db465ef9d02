"""Parts of a run that fit each other, and the errors of others."""

import dataclasses

import flax.linen as nn
import numpy as np
import pytest

from cnn_jax import models, tasks
from cnn_jax.core.errors import UserError
from cnn_jax.data import augment, facts
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.splits import Arrays
from cnn_jax.models import outputs
from cnn_jax.training import freezing, parts
from cnn_jax.training.config import Config, arguments

SMALL = {"stem": "small", "width": 4, "stage_sizes": (1, 1)}
STYLISTS = {"stem": "small", "width_multiplier": 0.125}
STYLISTS |= {"content_layers": ("fire4",), "style_layers": ("conv1", "fire3")}


def config_of(task, source="folder", data=(), **options):
    """Returns a config with only the keys that the checks read."""
    given = {"name": source, "normalization": None, "augmentations": ()}
    given["batch_size"] = 8
    return Config(
        {
            "data": given | dict(data),
            "task": {"name": task} | options,
            "model": {"name": "a network"},
            "eval": {"views": ()},
            "train": {"image_sizes": ()},
        }
    )


def check(config, model, data):
    """The check of a config's parts; the task has the config's options."""
    own = tasks.find(config.task.name)
    task = own(data.classes, **arguments(config.task, own.__init__))
    parts.check(config, data, model, task)


def data_of(kind="class", shape=(8, 8, 3), label_shape=(), splits=None, **facts):
    return Dataset(
        splits or {},
        tuple("abc"),
        shape,
        facts.pop("mean", (0.0,)),
        facts.pop("std", (1.0,)),
        label_kind=kind,
        label_shape=label_shape,
        **facts,
    )


def network(head=None, **more):
    own = {"head": head} if head else {}
    return models.create("resnet20", num_classes=3, **SMALL, **own, **more)


# A task, data for it, and a network.
PICTURE = {"kind": "picture", "label_shape": (16, 16, 3)}
FITTING = {
    "classification": (data_of(), network()),
    "segmentation": (data_of("pixels", label_shape=(8, 8)), network("fcn")),
    "detection": (
        data_of("boxes", label_shape=(4, 5)),
        models.create("fcos:resnet20", num_classes=3, strides=(2,), **SMALL),
    ),
    "enhancement": (
        data_of(**PICTURE),
        models.create("espcn", scale=2),
    ),
    "embedding": (data_of(), network("embedding")),
    "localization": (data_of("boxes", label_shape=(1, 5)), network("cam")),
    "multi_label": (data_of("multi_label", label_shape=(3,)), network()),
    "distillation": (data_of(), network()),
    "regression": (data_of("values", label_shape=(3,)), network()),
    "action_recognition": (
        data_of(shape=(4, 8, 8, 3)),
        models.create("r3d_18", num_classes=3, frames=4),
    ),
    "style_transfer": (
        data_of("style", (2, 32, 32, 3)),
        models.create("johnson:squeezenet1_0", **STYLISTS),
    ),
}


def test_every_need_of_ours_is_met_by_a_fact_of_ours():
    """A need of a fact that nobody gives is never checked."""
    listed = ("crop(padding=1)", "flip", "color_jitter")
    turned_on = augment.make(listed, "class")
    found = [*turned_on.parts(), parts.frozen(None)]
    found += [tasks.TASKS[task](tuple("abc")).part(task) for task in FITTING]
    rng = np.random.default_rng(0)
    for data, model in FITTING.values():
        targets = data.labels.random(rng, (1, *data.label_shape), 3)
        split = Arrays(np.zeros((1, *data.image_shape), np.uint8), targets)
        whole = dataclasses.replace(data, splits={"train": split, "test": split})
        found += [facts.part("data", whole), outputs.part("model", model)]
    for name in ("googlenet", "pixels:squeezenet1_0"):
        found.append(outputs.part(name, models.create(name)))
    given = {fact for part in found for fact in part.gives}
    assert {need.fact for part in found for need in part.takes} <= given
    for part in found:
        assert all(need.words for need in part.takes)


@pytest.mark.parametrize("task", tasks.TASKS)
def test_what_fits(task):
    data, model = FITTING[task]
    check(config_of(task), model, data)


def kinds(task):
    return tasks.TASKS[task].label_kind, tasks.TASKS[task].output_kind


@pytest.mark.parametrize(
    ("task", "other"),
    [(a, b) for a in FITTING for b in FITTING if kinds(a) != kinds(b)],
)
def test_a_task_takes_the_data_and_the_networks_of_its_kinds_alone(task, other):
    data, model = FITTING[task]
    labels_differ = kinds(task)[0] != kinds(other)[0]
    words = "learns .*folder has" if labels_differ else "takes .*gives .*take"
    with pytest.raises(UserError, match=f"task.name={other} {words}"):
        check(config_of(other), model, data)


@pytest.mark.parametrize(
    ("task", "model", "advice"),
    [
        ("embedding", network(), "take head=embedding"),
        ("localization", network(), "take head=cam"),
        ("embedding", models.create("mlp", num_classes=3), "take another network"),
        (
            "classification",
            network("cam"),
            "take head=gap, gmp, conv_gap, flatten_fc or pyramid",
        ),
    ],
)
def test_which_network_to_take(task, model, advice):
    data, _ = FITTING[task]
    with pytest.raises(UserError, match=advice):
        check(config_of(task), model, data)


@pytest.mark.parametrize("factor", [1, 3])
def test_pictures_of_another_scale(factor):
    data = data_of("picture", label_shape=(8 * factor, 8 * factor, 3))
    with pytest.raises(UserError, match=f"2 times as large, .* {factor} times"):
        check(config_of("enhancement"), FITTING["enhancement"][1], data)


def test_pictures_have_values_from_0_to_1():
    data = data_of(**PICTURE, mean=(0.5,), std=(0.5,))
    config = config_of("enhancement", data={"normalization": "half"})
    with pytest.raises(
        UserError,
        match=r"mean 0.5 and standard deviation 0.5: set .*normalization=data",
    ):
        check(config, FITTING["enhancement"][1], data)


@pytest.mark.parametrize("task", ["enhancement", "style_transfer"])
def test_light_is_not_changed_on_one_side(task):
    data, model = FITTING[task]
    with pytest.raises(UserError, match="take 'color_jitter' out of"):
        listed = ("color_jitter",)
        check(config_of(task, data={"augmentations": listed}), model, data)


def test_one_network_of_one_picture():
    model = models.create("pixels:squeezenet1_0", **STYLISTS)
    pairs = Arrays(np.zeros((2, 2, 32, 32, 3), np.uint8), np.zeros(2, np.int32))
    one, two = (
        data_of(
            "style", (2, 32, 32, 3), splits={"train": pairs.subset(np.arange(count))}
        )
        for count in (1, 2)
    )
    check(config_of("style_transfer"), model, one)
    with pytest.raises(
        UserError, match=r"learns one picture, .* has 2 training examples"
    ):
        check(config_of("style_transfer"), model, two)


@pytest.mark.parametrize(("weights", "fits"), [((1.0,) * 2, True), ((1.0,) * 3, False)])
def test_one_weight_a_style_layer(weights, fits):
    data, model = FITTING["style_transfer"]
    config = config_of("style_transfer", layer_weights=weights)
    if fits:
        check(config, model, data)
    else:
        with pytest.raises(
            UserError, match=r"weights=\(1.*, .*2 style layers: .*one for each"
        ):
            check(config, model, data)


@pytest.mark.parametrize("entry", ["flip", "crop(padding=2)"])
def test_pairs_are_not_augmented_further(entry):
    data, model = FITTING["style_transfer"]
    with pytest.raises(UserError, match=r"take '(flip|crop)' out of"):
        change = {"augmentations": (entry,)}
        check(config_of("style_transfer", data=change), model, data)


def test_images_of_clips_are_flipped_where_nothing_is_lost():
    data, model = FITTING["action_recognition"]
    flipped = {"data": {"augmentations": ("flip",)}}
    check(config_of("action_recognition", "clips", **flipped), model, data)
    with pytest.raises(
        UserError, match=r"'flip' mirrors .* are wrong for a mirrored image"
    ):
        check(
            config_of("action_recognition", **flipped),
            model,
            dataclasses.replace(data, mirrorable=False),
        )
    with pytest.raises(UserError, match=r"a network takes images, .*folder has clips"):
        check(config_of("classification"), network(), data)


# ------------------------------------------------------------------------- the judge


PATHS = [
    ("backbone", "conv1", "kernel"),
    ("backbone", "fire2", "squeeze", "kernel"),
    ("painter", "conv1", "kernel"),
]


def plan(**options):
    return freezing.make(lambda: PATHS, **options)


def test_a_judge_is_not_trained():
    _, model = FITTING["style_transfer"]
    parts.check_plan(config_of("style_transfer"), model, plan(freeze="backbone"))
    for trained in (
        None,
        plan(layer_decay=0.5),
        plan(freeze="backbone/conv1"),
        plan(freeze="backbone", unfreeze=("backbone/fire.*",), unfreeze_every=3),
    ):
        with pytest.raises(UserError, match=r"set config\.optimizer\.freeze=backbone"):
            parts.check_plan(config_of("style_transfer"), model, trained)


def test_a_network_without_a_judge_trains_what_it_likes():
    parts.check_plan(config_of("classification"), network(), None)


class Plain(nn.Module):
    outputs: int
    fails: bool = False

    @nn.compact
    def __call__(self, x, train):
        if self.fails:
            raise ValueError("it fails")
        return nn.Dense(self.outputs)(x.reshape(len(x), -1))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Plain(3), ""),
        (Plain(4), ""),
        (Plain(2), r"returns outputs of the shape \[2\] per image, .* shape \[3\]"),
        (Plain(3, fails=True), "model 'nets.Plain' .* failed: ValueError: it fails"),
    ],
)
def test_the_outputs_of_a_model_of_a_user(model, words):
    config = Config({"model": {"name": "nets.Plain"}, "data": {"name": "digits"}})
    if not words:
        parts.check_outputs(config, data_of(), model)
        return
    with pytest.raises(UserError, match=words):
        parts.check_outputs(config, data_of(), model)
