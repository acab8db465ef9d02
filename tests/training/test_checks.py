"""Whether data, model and task fit: pairs that do, and what is said of others."""

import dataclasses

import numpy as np
import pytest

from cnn_jax import models, tasks
from cnn_jax.core.errors import UserError
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.splits import Arrays
from cnn_jax.training import checks, freezing
from cnn_jax.training.config import Config

SMALL = {"stem": "small", "width": 4, "stage_sizes": (1, 1)}
STYLISTS = {"stem": "small", "width_multiplier": 0.125}
STYLISTS |= {"content_layers": ("fire4",), "style_layers": ("conv1", "fire3")}


def config_of(task, source="folder", data=(), **options):
    """As much of a config as the checks read."""
    given = {"name": source, "jitter": 0.0, "crop_padding": 0, "flip": False}
    given |= {"normalization": None}
    return Config(
        {
            "data": given | dict(data),
            "task": {"name": task, "layer_weights": (1.0,)} | options,
            "model": {"name": "a network"},
        }
    )


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
    "action_recognition": (
        data_of(shape=(4, 8, 8, 3)),
        models.create("r3d_18", num_classes=3, frames=4),
    ),
    "style_transfer": (
        data_of("style", (2, 32, 32, 3)),
        models.create("johnson:squeezenet1_0", **STYLISTS),
    ),
}


@pytest.mark.parametrize("task", tasks.TASKS)
def test_what_fits(task):
    data, model = FITTING[task]
    checks.check_fit(config_of(task), model, data)


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
        checks.check_fit(config_of(other), model, data)


@pytest.mark.parametrize(
    ("task", "model", "advice"),
    [
        ("embedding", network(), "take head=embedding"),
        ("localization", network(), "take head=cam"),
        ("embedding", models.create("mlp", num_classes=3), "take another network"),
        ("classification", network("cam"), "take another head"),
    ],
)
def test_which_network_to_take(task, model, advice):
    data, _ = FITTING[task]
    with pytest.raises(UserError, match=advice):
        checks.check_fit(config_of(task), model, data)


@pytest.mark.parametrize("factor", [1, 3])
def test_pictures_of_another_scale(factor):
    data = data_of("picture", label_shape=(8 * factor, 8 * factor, 3))
    with pytest.raises(UserError, match=f"2 times as large, .* {factor} times"):
        checks.check_fit(config_of("enhancement"), FITTING["enhancement"][1], data)


def test_pictures_have_values_from_0_to_1():
    data = data_of(**PICTURE, mean=(0.5,), std=(0.5,))
    config = config_of("enhancement", data={"normalization": "half"})
    with pytest.raises(UserError, match=r"data\.normalization=half would change"):
        checks.check_fit(config, FITTING["enhancement"][1], data)


def test_one_network_of_one_picture():
    model = models.create("pixels:squeezenet1_0", **STYLISTS)
    pairs = Arrays(np.zeros((2, 2, 32, 32, 3), np.uint8), np.zeros(2, np.int32))
    one, two = (
        data_of(
            "style", (2, 32, 32, 3), splits={"train": pairs.subset(np.arange(count))}
        )
        for count in (1, 2)
    )
    checks.check_fit(config_of("style_transfer"), model, one)
    with pytest.raises(UserError, match=r"learns one picture, .* has 2 to train on"):
        checks.check_fit(config_of("style_transfer"), model, two)


@pytest.mark.parametrize(("weights", "fits"), [((1.0,) * 2, True), ((1.0,) * 3, False)])
def test_one_weight_a_style_layer(weights, fits):
    data, model = FITTING["style_transfer"]
    config = config_of("style_transfer", layer_weights=weights)
    if fits:
        checks.check_fit(config, model, data)
    else:
        with pytest.raises(UserError, match="one for each of the 2"):
            checks.check_fit(config, model, data)


def test_images_of_clips_are_flipped_where_nothing_is_lost():
    data, model = FITTING["action_recognition"]
    flipped = {"data": {"flip": True}}
    checks.check_fit(config_of("action_recognition", "clips", **flipped), model, data)
    directed = dataclasses.replace(data, mirrorable=False)
    with pytest.raises(
        UserError, match=r"change the labels of .*set config\.data\.flip"
    ):
        checks.check_fit(config_of("action_recognition", **flipped), model, directed)
    with pytest.raises(UserError, match="a network takes images"):
        checks.check_fit(config_of("classification"), network(), data)


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
    assert model.judge == "backbone"
    checks.check_judge(config_of("style_transfer"), model, plan(freeze="backbone"))
    for trained in (
        None,
        plan(layer_decay=0.5),
        plan(freeze="backbone/conv1"),
        plan(freeze="backbone", unfreeze=("backbone/fire.*",), unfreeze_every=3),
    ):
        with pytest.raises(UserError, match=r"set config\.optimizer\.freeze=backbone"):
            checks.check_judge(config_of("style_transfer"), model, trained)


def test_a_network_without_a_judge_trains_what_it_likes():
    checks.check_judge(config_of("classification"), network(), None)


# ------------------------------------------------------------------------ batch sizes


@pytest.mark.parametrize("key", ["data.batch_size", "eval.batch_size"])
def test_devices_share_each_batch(key, monkeypatch):
    monkeypatch.setattr(checks.parallel.jax, "device_count", lambda: 4)
    sizes = {"data.batch_size": 8, "eval.batch_size": None}

    def config(sizes):
        groups = ("data", "eval")
        return Config({g: {"batch_size": sizes[f"{g}.batch_size"]} for g in groups})

    checks.check_batch_sizes(config(sizes))
    with pytest.raises(UserError, match=f"config.{key}=6 cannot be split .* 4 devices"):
        checks.check_batch_sizes(config(sizes | {key: 6}))
