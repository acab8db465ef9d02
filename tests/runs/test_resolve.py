"""Resolving a config: what is filled in, what is converted, what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax import data, models, tasks
from cnn_jax.core import ranges
from cnn_jax.core.errors import UserError
from cnn_jax.runs.resolve import resolve, resolve_smoke
from cnn_jax.runs.schema import schema
from cnn_jax.training import optimizers, schedules
from cnn_jax.training.config import REQUIRED, as_dict, default, flat


def adamw():
    return {
        "data": {"name": "digits", "batch_size": 8},
        "model": {"name": "mlp", "hidden": [4, 3]},
        "task": {"name": "classification", "label_smoothing": 0},
        "optimizer": {"name": "adamw", "learning_rate": 1, "b1": 0.8},
        "schedule": {"name": "cosine", "warmup_epochs": 2},
        "train": {"epochs": 3},
        "eval": {},
        "checkpoint": {},
    }


# ------------------------------------------------------------------- resolving


# What is trained, if nothing is said.
WHOLE_NETWORK = {
    "train_only": None,
    "freeze": None,
    "reinitialize": None,
    "unfreeze": [],
    "unfreeze_every_steps": 0,
    "unfreeze_every_epochs": None,
    "unfreeze_every_examples": None,
    "layer_decay": 1.0,
    "groups": [],
}
UNCLIPPED = {"clip_norm": None, "clip_value": None, "clip_adaptive": None}


def test_defaults_are_filled_in():
    config = resolve(adamw())
    assert as_dict(config)["optimizer"] == {
        "name": "adamw",
        "learning_rate": 1.0,
        **UNCLIPPED,
        "ema_decay": None,
        "swa_start": None,
        "sam_radius": None,
        **WHOLE_NETWORK,
        "b1": 0.8,
        "b2": 0.999,
        "eps": 1e-8,
        "weight_decay": 0.01,
    }
    assert as_dict(config)["train"] == {
        "steps": None,
        "epochs": 3.0,
        "examples": None,
        "log_every_steps": 50,
        "log_every_epochs": None,
        "log_every_examples": None,
        "accumulate": 1,
        "cache_features": None,
        "image_sizes": [],
        "remat": None,
        "patience": None,
        "min_delta": 0.0,
    }
    assert config.seed == 0 and config.model.num_classes is None
    with pytest.raises(AttributeError):
        config.seed = 1


def test_the_default_is_complete():
    assert resolve(default().to_dict()).model.name == "resnet20"


def test_lists_become_tuples_and_whole_numbers_floats():
    config = resolve(adamw())
    assert config.model.hidden == (4, 3)
    for value in (config.optimizer.learning_rate, config.task.label_smoothing):
        assert isinstance(value, float)
    assert isinstance(config.schedule.warmup_epochs, float)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.batch_size", True),
        ("data.batch_size", 8.0),
        ("data.batch_size", "8"),
        ("eval.test_curve", 1),
        ("eval.test_curve", "True"),
        ("model.hidden", (4, 3.5)),
        ("model.hidden", 4),
        ("model.activation", None),
        ("optimizer.learning_rate", "0.1"),
        ("optimizer.learning_rate", True),
        ("optimizer.learning_rate", None),
        ("train.epochs", "3"),
        ("checkpoint.keep", None),
    ],
)
def test_values_of_the_wrong_type(key, value):
    values = adamw()
    group, name = key.split(".")
    values[group][name] = value
    with pytest.raises(UserError, match=rf"config\.{key} must be of type .*, got "):
        resolve(values)


@pytest.mark.parametrize("value", [True, 1.0, "1", None])
def test_the_seed_is_an_int(value):
    with pytest.raises(UserError, match=r"config\.seed must be of type int"):
        resolve(adamw() | {"seed": value})


@pytest.mark.parametrize("group", ["data", "model", "task", "optimizer", "schedule"])
def test_a_key_that_nothing_reads(group):
    values = adamw()
    values[group]["nonsense"] = 1
    with pytest.raises(UserError, match=rf"'config\.{group}\.nonsense'.*Known: "):
        resolve(values)


@pytest.mark.parametrize("value", [3, None, "mlp"])
def test_a_group_holds_keys(value):
    with pytest.raises(UserError, match=r"config\.model is a group"):
        resolve(adamw() | {"model": value})


def test_a_value_without_a_default_must_be_set():
    values = adamw()
    del values["optimizer"]["learning_rate"]
    with pytest.raises(UserError, match=r"config\.optimizer\.learning_rate is missing"):
        resolve(values)
    assert resolve(adamw() | {"train": {}}).train.epochs == 30
    with pytest.raises(UserError, match=r"set one of config\.train\.steps"):
        resolve(adamw() | {"train": {"epochs": None}})


# ------------------------------------------------------------ the command line


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("seed", "3", 3),
        ("optimizer.learning_rate", "1", 1.0),
        ("optimizer.learning_rate", "2e-3", 0.002),
        ("optimizer.clip_norm", "1", 1.0),
        ("optimizer.clip_norm", "None", None),
        ("model.hidden", "(5,)", (5,)),
        ("model.hidden", "[5, 6]", (5, 6)),
        ("model.hidden", "5", (5,)),
        ("model.hidden", "()", ()),
        ("model.dtype", "bfloat16", "bfloat16"),
        ("model.dtype", "none", None),
        ("model.activation", "gelu", "gelu"),
        ("eval.test_curve", "True", True),
        ("eval.test_curve", "false", False),
        ("data.train_examples", "40", 40),
        ("data.train_examples", "None", None),
    ],
)
def test_text_from_the_command_line(key, text, value):
    values = adamw()
    values["data"]["train_examples"] = 30
    values["model"]["dtype"] = "float16"
    values["optimizer"]["clip_norm"] = 0.5
    found = resolve(values, {key: text})
    for part in key.split("."):
        found = found[part]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("seed", "None"),
        ("seed", "1.5"),
        ("data.batch_size", "None"),
        ("data.batch_size", "8.0"),
        ("data.batch_size", "True"),
        ("data.batch_size", "{[]}"),
        ("eval.test_curve", "1"),
        ("eval.test_curve", "yes"),
        ("model.hidden", "(5, 'a')"),
        ("optimizer.learning_rate", "fast"),
        ("optimizer.learning_rate", "None"),
        ("optimizer.learning_rate", ""),
        ("optimizer.learning_rate", "(" * 300),
    ],
)
def test_text_that_is_no_such_value(key, text):
    with pytest.raises(UserError, match=rf"config\.{key} must be of type"):
        resolve(adamw(), {key: text})


@pytest.mark.parametrize("key", ["seed.x", "seed.batch_size", "optimizer.", "data.a.b"])
def test_keys_that_lead_nowhere(key):
    with pytest.raises(UserError):
        resolve(adamw(), {key: "1"})


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(flat(resolve(adamw())))), st.text(max_size=8))
def test_any_text_is_a_value_or_the_users_mistake(key, text):
    try:
        config = resolve(adamw(), {key: text})
    except UserError as error:
        assert str(error)
    else:
        assert flat(config).keys()


def test_a_name_from_the_command_line_drops_what_belonged_to_the_old_one():
    values = adamw()
    values["optimizer"]["weight_decay"] = 0.5
    config = resolve(values, {"optimizer.name": "sgd", "optimizer.momentum": "0.8"})
    assert as_dict(config)["optimizer"] == {
        "name": "sgd",
        "learning_rate": 1.0,  # both read it
        "weight_decay": 0.5,
        **UNCLIPPED,
        "ema_decay": None,
        "swa_start": None,
        "sam_radius": None,
        **WHOLE_NETWORK,
        "momentum": 0.8,
        "nesterov": False,
    }
    assert resolve(values, {"model.name": "lenet5"}).model.padding == (0, 0)
    with pytest.raises(UserError, match=r"config\.optimizer\.b1.*optimizer 'sgd'"):
        resolve(values, {"optimizer.name": "sgd", "optimizer.b1": "0.5"})
    # The file's own mistakes are not hidden by naming what it names.
    values["optimizer"]["momentum"] = 0.9
    with pytest.raises(UserError, match=r"config\.optimizer\.momentum"):
        resolve(values, {"optimizer.name": "adamw"})


def test_the_command_lines_unit_takes_the_place_of_the_files():
    config = resolve(adamw(), {"train.steps": "7", "schedule.warmup_examples": "16"})
    assert (config.train.steps, config.train.epochs) == (7, None)
    assert config.schedule.warmup_examples == 16
    assert config.schedule.warmup_epochs is None
    assert config.schedule.warmup_steps is None  # not its default, 0
    assert resolve(adamw(), {"train.log_every_epochs": "1"}).train.log_every_steps is (
        None
    )
    with pytest.raises(UserError, match=r"set one of config\.train\.steps"):
        resolve(adamw(), {"train.epochs": "None"})


@pytest.mark.parametrize("where", ["file", "command line"])
def test_two_units_of_one_length(where):
    values, overrides = adamw(), {}
    if where == "file":
        values["schedule"]["warmup_steps"] = 4
    else:
        overrides = {"schedule.warmup_steps": "4", "schedule.warmup_epochs": "2"}
    with pytest.raises(UserError, match=r"config\.schedule sets warmup_steps and warm"):
        resolve(values, overrides)


# ---------------------------------------------------------------------- ranges


def every_key():
    """(group, key, hint) of every source, model, task, optimizer and schedule."""
    names = {
        "data": [f"{n}:x" if s.named else n for n, s in data.SOURCES.items()],
        "model": [*models.MODELS, *(f"{n}:resnet18" for n in models.ON_BACKBONES)],
        "task": tasks.TASKS,
        "optimizer": optimizers.OPTIMIZERS,
        "schedule": schedules.SCHEDULES,
    }
    for group, known in names.items():
        for name in known:
            values = default().to_dict()
            values[group]["name"] = name
            for key, (hint, fallback) in schema(values)[group].items():
                yield f"{group}.{name}.{key}", hint, fallback
    for group in ("train", "eval", "checkpoint"):
        for key, (hint, fallback) in schema(default().to_dict())[group].items():
            yield f"{group}.{key}", hint, fallback


def test_every_number_has_a_range_and_every_default_lies_in_it():
    """One that any number may stand for says so: `ranges.Number`."""
    for name, hint, fallback in every_key():
        assert None not in list(ranges.bounds_of(hint)), name
        if fallback is not REQUIRED:
            ranges.check(name, fallback, hint)


@pytest.mark.parametrize(
    "setting",
    [
        "seed=-1",
        "seed=4294967296",
        "data.batch_size=0",
        "data.batch_size=10000000000",
        "optimizer.weight_decay=-1e999",
        "data.workers=-1",
        "data.train_examples=0",
        "data.train_examples=1.5",
        "data.subset_seed=-1",
        "data.keep_pixels=0.0",
        "data.image_size=1000000",
        "model.hidden=(0,)",
        "model.hidden=(1000000000000,)",
        "task.label_smoothing=1.0",
        "task.auxiliary_weight=-0.1",
        "task.auxiliary_weight=1e999",
        "task.top_k=(0,)",
        "optimizer.learning_rate=-0.1",
        "optimizer.learning_rate=1e31",
        "optimizer.learning_rate=1" + "0" * 400,
        "optimizer.clip_norm=0",
        "optimizer.ema_decay=1",
        "optimizer.b1=1.0",
        "optimizer.b2=1.0",
        "optimizer.eps=0.0",
        "optimizer.weight_decay=-1",
        "optimizer.layer_decay=0",
        "optimizer.unfreeze_every_steps=-1",
        "schedule.warmup_epochs=-1",
        "schedule.end_factor=2",
        "train.epochs=1e308",
        "train.steps=1000000000000000000",
        "train.log_every_steps=-1",
        "eval.every_epochs=-0.5",
        "eval.batch_size=0",
        "checkpoint.keep=0",
    ],
)
def test_numbers_without_meaning(setting):
    key, _, text = setting.partition("=")
    with pytest.raises(UserError, match=rf"config\.{key}=.* must be "):
        resolve(adamw(), {key: text})


def test_runs_of_older_versions_are_read_as_they_are():
    values = as_dict(resolve(adamw())) | {"seed": -1}
    assert resolve(values, any_number=True).seed == -1


def test_augmentations_have_all_options_and_are_resolved_once():
    values = adamw()
    values["data"]["augmentations"] = (("crop", {"padding": 2}), "flip")
    found = resolve(values)
    assert found.data.augmentations == ("crop(padding=2)", "flip(probability=0.5)")
    assert resolve(as_dict(found)) == found
    text = "flip(probability=1), rotation(degrees=5.0)"
    for make in (resolve, resolve_smoke):
        found = make(values, {"data.augmentations": text})
        assert found.data.augmentations == (
            "flip(probability=1.0)",
            "rotation(degrees=5.0)",
        )
    assert resolve(values, {"data.augmentations": "()"}).data.augmentations == ()
    with pytest.raises(
        UserError, match=r"flip\(probability\)=2\.0 must be .*at most 1"
    ):
        resolve(values, {"data.augmentations": "flip(probability=2.0)"})
    values["data"]["augmentations"] = ("flip(probability=2.0)",)
    assert resolve(values, any_number=True).data.augmentations == (
        "flip(probability=2.0)",
    )


def test_lengths_within_a_smoke_run_are_a_step():
    values = adamw() | {"schedule": {"name": "cosine", "warmup_epochs": 20}}
    values["train"] = {"epochs": 30}
    small = resolve_smoke(values, {})
    assert (small.schedule.warmup_steps, small.schedule.warmup_epochs) == (1, None)
    small = resolve_smoke(values, {"schedule.warmup_steps": "500"})
    assert (small.schedule.warmup_steps, small.train.steps) == (1, 4)
    assert resolve_smoke(adamw() | {"schedule": {"name": "cosine"}}, {}).schedule == (
        resolve(adamw() | {"schedule": {"name": "cosine"}}).schedule
    )
    later = {"optimizer.unfreeze": "('a','b','c','d')"}
    small = resolve_smoke(values, later | {"optimizer.unfreeze_every_epochs": "3"})
    assert (small.optimizer.unfreeze_every_steps, small.train.steps) == (1, 5)


def test_groups_of_parameters_are_resolved_once():
    values = adamw()
    values["optimizer"]["groups"] = (("head", {"learning_rate_factor": 10}),)
    found = resolve(values)
    assert found.optimizer.groups == ("head: learning_rate_factor=10.0",)
    assert resolve(as_dict(found)) == found
    found = resolve_smoke(values, {"optimizer.groups": "head: frozen=True"})
    assert found.optimizer.groups == ("head: frozen=True",)
