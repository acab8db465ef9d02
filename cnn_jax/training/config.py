"""Configs: default values, loading from a file, durations and identity.

A config key is a keyword-only argument of the function that reads the key, or an
attribute of the model. So the signatures of these functions define which keys and
values are allowed, and `runs.resolve` checks a config against the signatures.
"""

import hashlib
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, TypeAlias

from ml_collections import ConfigDict, FrozenConfigDict

import cnn_jax
from cnn_jax import data
from cnn_jax.core import imports
from cnn_jax.core import keys as core_keys
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.core.keys import REQUIRED, Key
from cnn_jax.core.paths import split_recipe
from cnn_jax.core.ranges import Range

# A resolved config, or a group of one.
Config: TypeAlias = FrozenConfigDict

# A length of training in steps. A parameter `every: Duration` is written in a
# config as any one of `every_steps`, `every_epochs` and `every_examples`.
Duration: TypeAlias = Annotated[int, "duration"]
MOST_STEPS = 2**31 - 1  # the state counts steps in an int32
UNITS = {
    "steps": Annotated[int, Range(least=0, most=MOST_STEPS)],
    "epochs": Annotated[float, Range(least=0, most=MOST_STEPS)],
    "examples": Annotated[int, Range(least=0)],
}
RECIPES = (("configs",), ("experiments",))  # folders that come with the package


def default() -> ConfigDict:
    """Returns the config that every recipe starts from: a ResNet-20 on the digits."""
    # Types are checked against the readers' signatures when the config is resolved, and
    # not against the first value of a key.
    return ConfigDict(
        {
            "seed": 0,
            "data": {"name": "digits", "batch_size": 128},
            "model": {"name": "resnet20"},
            "task": {"name": "classification"},
            "optimizer": {"name": "sgd", "learning_rate": 0.1},
            "schedule": {"name": "cosine"},
            "train": {},  # 30 epochs
            "eval": {},  # after every epoch
            "checkpoint": {},
        },
        type_safe=False,
    )


def keywords(function: Callable) -> dict[str, Key]:
    """Returns the config keys that `function` reads: its keyword-only parameters.

    A `Duration` parameter becomes one key for each unit: steps, epochs and examples.
    The default of the parameter becomes the default of the key in steps.
    """
    keys: dict[str, Key] = {}
    for name, key in core_keys.keywords(function).items():
        if key.hint == Duration:
            keys |= duration_keys(name, key.default)
        else:
            keys[name] = key
    return keys


def duration_keys(name: str, default_steps: Any = REQUIRED) -> dict[str, Key]:
    """Returns the keys `<name>_steps`, `<name>_epochs` and `<name>_examples`.

    Args:
      name: the name of the duration; "" for the keys `steps`, `epochs`, `examples`.
      default_steps: the default of the key in steps; `REQUIRED`: no default.
    """
    prefix = f"{name}_" if name else ""
    keys = {prefix + unit: Key(kind | None, None) for unit, kind in UNITS.items()}
    if default_steps is not REQUIRED:
        keys[f"{prefix}steps"] = Key(UNITS["steps"] | None, default_steps)
    return keys


def load_file(spec: str) -> dict[str, Any]:
    """Returns the values of a config file as nested dicts.

    Args:
      spec: the path of the file, and optionally an argument of the file's `get_config`:
        `PATH.py` or `PATH.py:ARG`.

    Raises:
      UserError: if the file is missing, raises an error, or does not know the argument.
    """
    return values_of(spec, load_module(spec))


def load_module(spec: str) -> ModuleType:
    """Executes a config file and returns it as a module.

    The config file can import other files in its folder.

    Args:
      spec: `PATH.py` or `PATH.py:ARG`; the argument is not used.

    Raises:
      UserError: if the file is missing or raises an error.
    """
    path, _ = split_recipe(spec)
    file = found(path)
    if not file.is_file():
        folder = Path(path).parent
        files = [p.name for p in found(str(folder)).glob("[!_]*.py")]
        near = [str(folder / name) for name in sorted(files)]
        there = f" Config files in this folder: {', '.join(near)}." if near else ""
        raise UserError(f"no config file '{path}'.{there}")
    if file.suffix != ".py":
        raise UserError(f"config file '{path}' must be a Python file, NAME.py.")
    imports.add(file.parent)
    module_spec = importlib.util.spec_from_file_location(file.stem, file)
    assert module_spec and module_spec.loader  # every Python file has them
    module = importlib.util.module_from_spec(module_spec)
    with blamed(spec):
        module_spec.loader.exec_module(module)
    return module


def found(path: str) -> Path:
    """Returns the path of a config file.

    If `path` does not exist, the result is the path of the package's own recipe or
    experiment with this name.
    """
    package = Path(cnn_jax.__file__).parent
    roots = [package]  # an installed package holds them; a checkout has them beside it
    if (package.parent / "setup.cfg").is_file():
        roots.append(package.parent)
    if Path(path).parts[:1] in RECIPES and not Path(path).exists():
        for root in roots:
            if (root / path).exists():
                return root / path
    return Path(path)


def values_of(spec: str, module: ModuleType) -> dict[str, Any]:
    """Returns the result of a config file's `get_config`, as nested dicts.

    Args:
      spec: `PATH.py`, or `PATH.py:ARG` with an argument of `get_config`.
      module: the config file as a module; see `load_module`.

    Raises:
      UserError: if `get_config` raises an error, or does not know the argument.
    """
    path, argument = split_recipe(spec)
    with blamed(spec):
        config = module.get_config(argument) if argument else module.get_config()
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"get_config of '{path}' must return a ConfigDict, got {config!r}."
        )
    return config.to_dict()


def blamed(spec: str) -> AbstractContextManager[None]:
    """Returns a context that turns an error into a `UserError` about the config file.

    Args:
      spec: `PATH.py` or `PATH.py:ARG`.
    """
    path, _ = split_recipe(spec)
    return imports.blamed(f"config file '{path}'", found(path))


def choose(recipes: Mapping[str, Callable[[], ConfigDict]], argument: str | None):
    """Returns the config of the recipe with the name `argument`.

    Args:
      recipes: for each name, a function that returns a config.
      argument: the argument of the config file; None: the first recipe.

    Raises:
      UserError: if no recipe has this name.
    """
    if argument is None:
        argument = next(iter(recipes))
    if argument not in recipes:
        raise unknown("argument of the config file", argument, recipes)
    return recipes[argument]()


def steps_in(group: Config, name: str, *, batch_size: int, examples: int) -> int | None:
    """Returns a duration of the config in steps.

    The config may state the duration in steps, in epochs or in examples. An epoch has
    `examples / batch_size` steps. The result is rounded up to whole steps.

    Args:
      group: the config group with the keys `<name>_steps`, `<name>_epochs` and
        `<name>_examples`.
      name: the name of the duration; "" for the keys `steps`, `epochs`, `examples`.
      batch_size: the number of examples per step.
      examples: the number of training examples per epoch.

    Returns:
      The number of steps; None if the config does not set the duration.

    Raises:
      UserError: if the duration is more than `MOST_STEPS` steps or epochs.
    """
    prefix = f"{name}_" if name else ""
    given = {unit: group[prefix + unit] for unit in UNITS}
    if given["steps"] is not None:
        steps = given["steps"]
    elif (epochs := given["epochs"]) is not None:
        steps = -(-(round(epochs * examples) or bool(epochs)) // batch_size)
    elif given["examples"] is not None:
        steps = -(-given["examples"] // batch_size)
    else:
        return None
    # Augmentation derives its keys from the number of the epoch, also an int32.
    if max(steps, steps * batch_size // examples) > MOST_STEPS:
        raise UserError(
            f"the length {prefix}{'/'.join(u for u in given if given[u] is not None)} "
            f"of the config is {steps:,} steps of {batch_size:,} examples: at most "
            f"{MOST_STEPS:,} steps and as many epochs are possible. Set a shorter "
            "length."
        )
    return steps


def arguments(group: Config, function: Callable, **sizes: int) -> dict[str, Any]:
    """Returns the keyword arguments of `function` that a resolved config group sets.

    Args:
      group: a group of a resolved config.
      function: the function that will be called with the arguments.
      sizes: `batch_size` and `examples` of `steps_in`; needed if `function` has
        parameters of type `Duration`.
    """
    result = {}
    for name, key in core_keys.keywords(function).items():
        if name in group:
            result[name] = group[name]
        elif key.hint == Duration:
            result[name] = steps_in(group, name, **sizes)
    return result


def as_dict(config: Config) -> dict[str, Any]:
    """Returns a resolved config as nested dicts with JSON's types (tuples become
    lists)."""
    return json.loads(json.dumps(config.to_dict()))


def flat(config: Config) -> dict[str, Any]:
    """Returns a config as `{"optimizer.learning_rate": 0.1, ...}`, sorted by key."""
    rows: dict[str, Any] = {}
    for group, values in sorted(as_dict(config).items()):
        if isinstance(values, dict):
            rows |= {f"{group}.{key}": value for key, value in sorted(values.items())}
        else:
            rows[group] = values
    return rows


# The folder of the test split in versions that took a folder `val` for it.
OLD_TEST_SPLIT = ["test", "val", "validation", "valid"]
# The path of the data, the number of reading processes and pictures do not change a
# result.
NOT_IDENTITY = {"data.dir", "data.data_dir", "data.workers", "eval.pictures"}
# Newer keys, and the values with which a run is the same as a run of an older version
# that did not know the key.
ADDED: Mapping[str, Sequence[Any]] = {
    "data.augmentations": [[]],
    "data.sampler": ["uniform"],
    "data.repeats": [1],
    "data.val": [None, 0],
    "data.val_seed": [0],
    "data.val_examples": [None],
    "data.fold": [None],
    "data.group_column": [""],
    "data.test_split": [["test"], OLD_TEST_SPLIT],
    "optimizer.swa_start": [None],
    "train.accumulate": [1],
    "train.image_sizes": [[]],
    "train.remat": [None],
    "optimizer.clip_value": [None],
    "optimizer.clip_adaptive": [None],
    "optimizer.groups": [[]],
    "optimizer.sam_radius": [None],
    "data.random_crop": [None],
    "data.eval_crop": [1.0],
    "data.interpolation": ["bilinear"],
    "data.value_range": [None],
    "model.activation": [None],
    "model.norm": [None],
    "model.norm_groups": [None],
    "task.loss_name": ["cross_entropy"],
    "task.class_weights": [None],
    "task.boundary_tolerance": [None],
    "task.logit_adjustment": [0.0],
    "train.patience": [None],
    "train.min_delta": [0.0],
    "eval.statistics_examples": [None],
    "eval.views": [[]],
    "eval.test_curve": [False],
    "eval.raw": [False],
    "eval.test": [True],
}


def identity(config: Config) -> dict[str, Any]:
    """Returns the config values that must not change when a run resumes.

    The result has the form of `flat`. It leaves out the keys in `NOT_IDENTITY`, and the
    keys in `ADDED` with the values there.
    """
    return {
        key: value
        for key, value in flat(config).items()
        if key not in NOT_IDENTITY and value not in ADDED.get(key, ())
    }


def hash_of(config: Config) -> str:
    """Returns a hash of `identity(config)`, twelve hexadecimal digits."""
    text = json.dumps(identity(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Returns lines such as `optimizer.learning_rate: 0.1 (now 0.05)`.

    Args:
      ours: the new config, in the form of `flat`; its values follow "now".
      theirs: the old config, in the form of `flat`.
    """
    return [
        f"{key}: {theirs.get(key, 'absent')!r} (now {ours.get(key, 'absent')!r})"
        for key in sorted({*ours, *theirs})
        if ours.get(key, "absent") != theirs.get(key, "absent")
    ]


# All keys whose value is a path.
PATHS = {*(f"data.{key}" for key in data.PLACES), "model.init_from", "task.teacher"}
