"""A change of any key of a config changes the run: no key is set and never read.

The run is compared by what it computes: the data, the batches that are asked for,
the lengths, the schedule, and the programs that initialize and train the network.
"""

import contextlib
import functools
import json
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from cnn_jax import data
from cnn_jax.data import loading
from cnn_jax.data.augmentations.augmentation import Augmentation
from cnn_jax.data.splits import Arrays
from cnn_jax.runs.resolve import resolve
from cnn_jax.training import loop, parallel, setup
from cnn_jax.training.config import flat, hash_of

# Of each group every choice of `name` occurs once (the prepared sets have tests of
# their own).
VALUES = {
    "resnet": {
        "data": {"name": "digits", "batch_size": 8, "train_examples": 20},
        "model": {
            "name": "resnet20",
            "block": "bottleneck",
            "stage_sizes": (1, 1),
            "width": 8,
            "stem": "small",
        },
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "schedule": {"name": "cosine", "warmup_steps": 1},
        "train": {"steps": 10},
    },
    "mlp": {
        "data": {
            "name": "folder",
            "batch_size": 8,
            "image_size": 4,
            "train_examples": 9,
        },
        "model": {"name": "mlp", "hidden": (3,)},
        "optimizer": {"name": "adamw", "learning_rate": 0.1},
        "schedule": {"name": "step", "warmup_steps": 1},
        "train": {"steps": 10},
    },
    "googlenet": {
        "data": {"name": "digits", "batch_size": 8, "train_examples": 20},
        "model": {"name": "googlenet", "stem": "small", "width_multiplier": 0.01},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "schedule": {"name": "constant"},
        "train": {"steps": 10},
    },
    "lenet": {
        "data": {"name": "digits", "batch_size": 8, "train_examples": 20},
        "model": {"name": "lenet5", "padding": (2, 2)},
        "optimizer": {"name": "adamw", "learning_rate": 0.1},
        "schedule": {"name": "constant", "warmup_steps": 1},
        "train": {"steps": 10},
    },
    "segmentation": {
        "data": {
            "name": "digit_scenes",
            "batch_size": 8,
            "train_examples": 12,
            "test_examples": 6,
        },
        "model": {
            "name": "resnet20",
            "stage_sizes": (1, 1),
            "width": 8,
            "stem": "small",
            "head": "fcn",
            "auxiliary": True,
        },
        "task": {"name": "segmentation"},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "schedule": {"name": "constant", "warmup_steps": 1},
        "train": {"steps": 10},
    },
    "moving": {
        "data": {
            "name": "moving_digits",
            "batch_size": 8,
            "train_examples": 12,
            "test_examples": 6,
        },
        "model": {"name": "mlp", "hidden": (3,)},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "schedule": {"name": "constant", "warmup_steps": 1},
        "train": {"steps": 10},
    },
}
TASK = {"task": {"name": "classification"}}


@dataclass(frozen=True, kw_only=True)
class Invert(Augmentation):
    """An augmentation from outside of the package."""

    def image(self, key, image):
        return 255 - image


def backwards(split, seed):
    """A sampler from outside of the package."""
    count = len(split)
    return lambda positions: (positions // count, count - 1 - positions % count)


# Another value of a key, or of a key of one of the configs; of others, one is made up
# from the type of their own.
OTHER = {
    "data.augmentations": f"{__name__}.Invert",
    "data.in_memory": "False",
    "data.interpolation": "lanczos",
    "data.random_crop": "(0.5, 1.0)",
    "data.value_range": "(0.0, 65535.0)",
    "data.sampler": f"{__name__}.backwards",
    "data.keep": "random",
    "data.test_shift": "2",
    "data.classes": "(1, 2)",
    "data.fold": "1/3",
    "data.val": "5",
    "data.val_examples": "2",
    "data.train_examples": "4",
    "data.test_examples": "1",
    "data.test_fraction": "0.5",
    "data.normalization": "half",
    "data.workers": "2",
    "eval.batch_size": "4",
    "eval.every_epochs": "2.5",
    "eval.every_examples": "60",
    "model.activation": "sigmoid",
    "model.aspp_rates": "(1, 2)",
    "model.block": "basic",
    "model.dtype": "bfloat16",
    "model.groups": "2",
    "model.head": "pyramid",
    "model.head_grid": "2",
    "model.head_width": "(5,)",
    "model.hidden": "(3, 3)",
    "model.norm": "layer",
    "model.norm_groups": "4",
    "model.num_classes": "12",
    "model.output_stride": "1",
    "model.padding": "(2, 3)",
    "model.pool": "max",
    "model.pyramid_levels": "(2,)",
    "model.shortcut": "identity",
    "model.stage_sizes": "(1, 2)",
    "model.stem": "imagenet",
    "model.width": "16",
    "model.width_per_group": "128",
    "optimizer.clip_adaptive": "0.1",
    "optimizer.clip_norm": "1.0",
    "optimizer.clip_value": "0.1",
    "optimizer.ema_decay": "0.9",
    "optimizer.freeze": "head",
    "optimizer.groups": "head: learning_rate_factor=0.5",
    "optimizer.layer_decay": "0.5",
    "optimizer.sam_radius": "0.1",
    "optimizer.swa_start": "0.5",
    "optimizer.train_only": "head",
    "optimizer.unfreeze": "('head/kernel',)",
    "schedule.boundaries": "(0.5, 0.9)",
    "train.remat": ".*head",
    "task.class_weights": str((1.0,) * 9 + (2.0,)),
    "task.loss_name": "focal",
    "task.top_k": "(2,)",
    ("googlenet", "model.norm"): "batch",
    ("lenet", "model.norm_groups"): "2",
    ("mlp", "model.norm_groups"): "2",
    ("segmentation", "task.class_weights"): str((1.0,) * 10 + (2.0,)),
}
# What some keys take for granted.
NEEDED = {
    "model.aspp_rates": {"model.head": "deeplab"},
    "data.keep": {"data.keep_pixels": "0.5"},
    "data.val_seed": {"data.val": "5"},
    "data.val_examples": {"data.val": "5"},
    "model.head_grid": {"model.head": "flatten_fc"},
    "model.head_width": {"model.head": "flatten_fc"},
    "model.norm_groups": {"model.norm": "group"},
    ("mlp", "model.norm_groups"): {"model.norm": "group", "model.hidden": "(4, 4)"},
    "model.pyramid_levels": {"model.head": "pyramid"},
    "optimizer.nesterov": {"optimizer.momentum": "0.5"},
    "optimizer.unfreeze": {
        "optimizer.unfreeze": "('head',)",
        "optimizer.unfreeze_every_steps": "2",
    },
}
LENGTHS = {"steps": "4", "epochs": "1", "examples": "24"}
ELSEWHERE = (".init_from", ".reinitialize", ".cache_features")
# Other heads and labels are for other tasks, which have tests of their own.
ELSEWHERE += ("model.embedding_features", "model.aspp_rates", "data.labels")
# What the loop reads while it runs (test_loop.py), and the splits of folders.
ELSEWHERE += ("train.patience", "train.min_delta", "eval.test_curve")
ELSEWHERE += ("eval.test", "eval.pictures", "eval.views", "eval.raw")
ELSEWHERE += ("eval.statistics_examples",)
# Only networks with global pooling take it (test_progressive_resizing.py).
ELSEWHERE += ("train.image_sizes",)
ELSEWHERE += ("data.test_split",)
# A metric of evaluation (test_segmentation.py).
ELSEWHERE += ("task.boundary_tolerance",)
ELSEWHERE += tuple(f".unfreeze_every_{unit}" for unit in LENGTHS)


def another(name, key, value):
    if given := OTHER.get((name, key), OTHER.get(key)):
        return given
    unit = key.replace(".", "_").rsplit("_", 1)[-1]
    if unit in LENGTHS:
        return LENGTHS[unit]
    if isinstance(value, bool):
        return str(not value)
    if isinstance(value, int | float):
        return str(value + 1) if isinstance(value, int) else str(value / 2 + 0.1)
    raise AssertionError(f"say in OTHER what else {key}={value!r} can be")


@functools.cache
def load(name, options):
    return data.load(name, **dict(options))


class Begun(Exception):
    """The loop has opened its checkpoints: it has read what it needs."""


def fingerprints(config, monkeypatch):
    """Yields facts about what the run computes, the cheapest facts first."""
    options = setup.data_options(config)
    dataset = setup.normalized(
        load(config.data.name, tuple(options.items())),
        **loop.config_lib.arguments(config.data, setup.normalized),
    )
    for split in dataset.splits.values():
        memory = isinstance(split, Arrays)
        yield len(split), split.image_shape, split.images.tobytes() if memory else None

    asked = []

    def no_batches(_, **options):
        asked.append(options)
        return (batch for batch in ())

    with monkeypatch.context() as patch:
        for name in ("train_batches", "eval_batches"):
            patch.setattr(loading, name, no_batches)
        options = loop.config_lib.arguments(config.data, loop.batches)
        loop.batches(dataset.splits["train"], config.seed, 0, 1, **options)
        loop.eval_batches(dataset.splits["test"], config)
    yield asked

    yield dataset.mean, dataset.std
    network = setup.network(config, dataset)
    training = setup.training(network, len(dataset.splits["train"]))
    yield (
        training.steps,
        training.log_every,
        training.eval_every,
        training.checkpoint_every,
    )
    yield [float(training.schedule(step)) for step in range(10)]

    steps, opened = [], []

    def checkpoints(directory, **options):
        opened.append(options)
        raise Begun

    with monkeypatch.context() as patch, contextlib.suppress(Begun):
        patch.setattr(loop, "Checkpoints", checkpoints)
        loop.train(training, dataset, Path("unused"), table="", tags={})
    with monkeypatch.context() as patch:
        make = setup.make_train_step
        patch.setattr(
            setup,
            "make_train_step",
            lambda *args, **options: steps.append(make(*args, **options)) or steps[0],
        )
        training.step()
    yield opened

    yield str(jax.make_jaxpr(training.fresh_state)())
    rows = {
        "image": np.zeros((2, *dataset.image_shape), np.uint8),
        "label": dataset.splits["train"].labels[:2]
        if dataset.label_shape
        else np.zeros(2, np.int32),
        **{key: np.zeros(2, np.int32) for key in ("index", "epoch")},
    }
    step = jax.make_jaxpr(steps[0], axis_env=[(parallel.AXIS, 1)])
    key = jax.random.key(config.seed)
    yield str(step(jax.eval_shape(training.fresh_state), rows, key))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of six pictures."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (root / name).mkdir()
        for i in range(6):
            pixels = rng.integers(0, 256, (9, 7, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def computed():
    """Returns the cache of what unchanged configs compute, by their hash."""
    return {}


def keys():
    """Every key of the configs, of each choice of a name once."""
    # Of what a network without auxiliary heads does not read, one with them does.
    seen, found = {("classification", "task.auxiliary_weight")}, []
    # These would change what moves where, and are refused.
    seen |= {("moving_digits", "data.augmentations")}
    # Groups of one channel would have one value.
    seen |= {("googlenet", "model.norm_groups")}
    found.append(("googlenet", "task.auxiliary_weight"))
    # And these belong to heads for pixels.
    pixels = ("model.auxiliary", "model.auxiliary_dropout", "model.aspp_rates")
    seen |= {("resnet20", key) for key in pixels}
    found += [("segmentation", key) for key in pixels]
    for name, values in VALUES.items():
        config = resolve(TASK | values)
        for key in flat(config):
            group = key.partition(".")[0]
            chosen = (config[group].get("name") if group != "seed" else None, key)
            # A name's own change is what the other configs are; the others are tested
            # in test_transfer.py: they need a file that fits, change only the speed, or
            # change a later step.
            if chosen not in seen and not key.endswith((".name", *ELSEWHERE)):
                seen.add(chosen)
                found.append((name, key))
    return found


@pytest.mark.full
@pytest.mark.parametrize(("name", "key"), keys())
def test_a_change_of_the_key_changes_the_run(
    name, key, folder, computed, monkeypatch, tmp_path
):
    values = TASK | VALUES[name]
    overrides = {}
    if name == "mlp":
        overrides["data.dir"] = str(folder)
    overrides |= NEEDED.get((name, key), NEEDED.get(key, {}))
    before = resolve(values, overrides)
    value = flat(before)[key]
    if key == "data.dir":
        text = str(tmp_path / "moved")
        for path in folder.glob("*/*"):
            target = tmp_path / "moved" / path.parent.name / f"{path.stem}.gif"
            target.parent.mkdir(parents=True, exist_ok=True)
            Image.open(path).save(target)
    elif key == "data.channels":
        text = "3" if value == 1 else "1"
    else:
        text = another(name, key, value)
    after = resolve(values, overrides | {key: text})
    assert json.dumps(flat(after)[key]) != json.dumps(value)

    ours = computed.setdefault(hash_of(before), [])
    if not ours:
        ours += fingerprints(before, monkeypatch)
    theirs = fingerprints(after, monkeypatch)
    if all(one == other for one, other in zip(ours, theirs, strict=True)):
        raise AssertionError(f"config.{key}={text} changes nothing that a run computes")


def test_the_fingerprint_is_reproducible(folder, monkeypatch):
    """Equal configs have equal fingerprints, so the test above can fail."""
    config = resolve(TASK | VALUES["resnet"])
    first, second = (list(fingerprints(config, monkeypatch)) for _ in range(2))
    assert first == second
