"""Configs: defaults, loading from a file, and what the values mean.

A config key is a keyword-only argument of the function that reads it, or an
attribute of the model that is built from it. So the signatures are the schema, and
`resolve.resolve` checks a config against them.
"""

import dataclasses
import hashlib
import importlib.util
import inspect
import json
import typing
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, NamedTuple, NewType

from ml_collections import ConfigDict, FrozenConfigDict

import cnn_jax
from cnn_jax import data
from cnn_jax.core import imports
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.core.paths import split_recipe
from cnn_jax.core.ranges import Range
from cnn_jax.data.augment import Augment

# A resolved config, or a group of one.
Config = FrozenConfigDict

# A length of training in steps. A parameter `every: Duration` is written in a
# config as any one of `every_steps`, `every_epochs` and `every_examples`.
Duration = NewType("Duration", int)
MOST_STEPS = 2**31 - 1  # the state counts its steps with 32 bits
UNITS = {
    "steps": Annotated[int, Range(least=0, most=MOST_STEPS)],
    "epochs": Annotated[float, Range(least=0, most=MOST_STEPS)],
    "examples": Annotated[int, Range(least=0)],
}
REQUIRED = dataclasses.MISSING  # in place of a default, as a model's fields have it
RECIPES = (("configs",), ("experiments",))  # folders that come with the package


class Key(NamedTuple):
    """What a config key may hold, and its value where the config has none."""

    hint: Any
    default: Any = REQUIRED


def default() -> ConfigDict:
    """The config that every recipe starts from: a ResNet-20 on the digits."""
    # Types are checked when the config is resolved, against what reads them, and
    # not against the first value that a key happened to have.
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
    """The config keys that `function` reads: its keyword-only parameters.

    A `Duration` parameter becomes one key for each unit; the first one takes the
    parameter's default, which is in steps.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    keys = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            continue
        hint, default = hints[name], parameter.default
        if default is inspect.Parameter.empty:
            default = REQUIRED
        if hint == Duration:
            keys |= duration_keys(name, default)
        else:
            keys[name] = Key(hint, default)
    return keys


def duration_keys(name: str, default_steps: Any = REQUIRED) -> dict[str, Key]:
    """The keys `<name>_steps`, `<name>_epochs` and `<name>_examples`."""
    prefix = f"{name}_" if name else ""
    keys = {prefix + unit: Key(kind | None, None) for unit, kind in UNITS.items()}
    if default_steps is not REQUIRED:
        keys[f"{prefix}steps"] = Key(UNITS["steps"] | None, default_steps)
    return keys


def load_file(spec: str) -> dict[str, Any]:
    """The values of a config file, `PATH.py` or `PATH.py:ARG`, as nested dicts.

    Raises:
      UserError: the file is missing or broken, or does not know the argument.
    """
    return values_of(spec, load_module(spec))


def load_module(spec: str) -> ModuleType:
    """The config file itself, executed. Modules beside it can be imported.

    Raises:
      UserError: the file is missing or broken.
    """
    path, _ = split_recipe(spec)
    file = found(path)
    if not file.is_file():
        folder = Path(path).parent
        files = [p.name for p in found(str(folder)).glob("[!_]*.py")]
        near = [str(folder / name) for name in sorted(files)]
        there = f" There are: {', '.join(near)}." if near else ""
        raise UserError(f"no config file '{path}'.{there}")
    if file.suffix != ".py":
        raise UserError(f"config file '{path}' is not a Python file, NAME.py.")
    imports.add(file.parent)
    module_spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(module_spec)
    with blamed(spec):
        module_spec.loader.exec_module(module)
    return module


def found(path: str) -> Path:
    """Returns a path as it is or, where nothing is there, that of the recipe or
    experiment of this name that came with the package."""
    package = Path(cnn_jax.__file__).parent
    roots = [package]  # of an installed package; in a checkout, they lie beside it
    if (package.parent / "setup.cfg").is_file():
        roots.append(package.parent)
    if Path(path).parts[:1] in RECIPES and not Path(path).exists():
        for root in roots:
            if (root / path).exists():
                return root / path
    return Path(path)


def values_of(spec: str, module: ModuleType) -> dict[str, Any]:
    """What `get_config` of a loaded config file returns, as nested dicts.

    Raises:
      UserError: it fails, or does not know the argument.
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
    """Says of what fails within that the config file is wrong, and where."""
    path, _ = split_recipe(spec)
    return imports.blamed(f"config file '{path}'", found(path))


def choose(recipes: Mapping[str, Callable[[], ConfigDict]], argument: str | None):
    """The recipe that a config file's argument names; None names the first one."""
    if argument is None:
        argument = next(iter(recipes))
    if argument not in recipes:
        raise unknown("argument of the config file", argument, recipes)
    return recipes[argument]()


def steps_in(group: Config, name: str, *, batch_size: int, examples: int) -> int | None:
    """A duration in steps, from whichever unit the config gives; None if none.

    An epoch is `examples / batch_size` steps. Parts of a step are rounded up.

    Raises:
      UserError: it is more than `MOST_STEPS`, or as many epochs.
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
    # The number of the epoch, from which pictures are augmented, has 32 bits too.
    if max(steps, steps * batch_size // examples) > MOST_STEPS:
        raise UserError(
            f"the length {prefix}{'/'.join(u for u in given if given[u] is not None)} "
            f"of the config is {steps:,} steps of {batch_size:,} examples: it must be "
            f"at most {MOST_STEPS:,} steps, and at most as many epochs."
        )
    return steps


def arguments(group: Config, function: Callable, **sizes: int) -> dict[str, Any]:
    """The part of a resolved group that `function` reads, as keyword arguments.

    Args:
      sizes: `batch_size` and `examples`, needed where `function` takes durations.
    """
    result = {}
    for name, hint in typing.get_type_hints(function).items():
        if name in group:
            result[name] = group[name]
        elif hint == Duration:
            result[name] = steps_in(group, name, **sizes)
    return result


def as_dict(config: Config) -> dict[str, Any]:
    """A resolved config as plain nested dicts, as JSON keeps it."""
    return json.loads(json.dumps(config.to_dict()))


def flat(config: Config) -> dict[str, Any]:
    """`{"optimizer.learning_rate": 0.1, ...}`, keys in order."""
    rows = {}
    for group, values in sorted(as_dict(config).items()):
        if isinstance(values, dict):
            rows |= {f"{group}.{key}": value for key, value in sorted(values.items())}
        else:
            rows[group] = values
    return rows


# Where the data lies, and how many processes read it, does not change a result.
NOT_IDENTITY = {"data.dir", "data.data_dir", "data.workers"}


def identity(config: Config) -> dict[str, Any]:
    """`flat` without what may differ between two parts of one run."""
    rows = flat(config)
    return {key: value for key, value in rows.items() if key not in NOT_IDENTITY}


def hash_of(config: Config) -> str:
    """Twelve hexadecimal digits that differ whenever a value of `identity` does."""
    text = json.dumps(identity(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Lines such as `optimizer.learning_rate: 0.1 (now 0.05)`, both flat."""
    return [
        f"{key}: {theirs.get(key, 'absent')!r} (now {ours.get(key, 'absent')!r})"
        for key in sorted({*ours, *theirs})
        if ours.get(key, "absent") != theirs.get(key, "absent")
    ]


# Sources that need no download, and the size of their images.
EMBEDDED = {
    "digits": 8,
    "digit_scenes": 48,
    "moving_digits": 32,
    "identities": (8,),
    "super_resolution": 4,
    "denoising": 8,
    "picture_and_style": (256,),
    "pictures_and_styles": (256,),
}
# What stands in for a source of the user's, and with what values of its own; for all
# others it is the digits.
STAND_INS: dict[str, tuple[str, dict[str, Any]]] = {
    "clips": ("moving_digits", {}),
    "volumes": ("moving_digits", {}),
    "masks": ("digit_scenes", {}),
    "tfds_masks": ("digit_scenes", {}),
    "voc": ("digit_scenes", {"labels": "boxes"}),
    "coco": ("digit_scenes", {"labels": "boxes"}),
}


# Where the user's own data are.
PLACES = {"dir", "test_dir", "file", "style", "styles"}
# All keys that hold a path.
PATHS = {*(f"data.{key}" for key in PLACES), "data.data_dir", "model.init_from"}
# What holds for data of so many classes alone.
OF_CLASSES = {"task.class_weights", "model.num_classes"}


def _small(size: int | tuple[int, ...], *, keep_tuple: bool) -> int | tuple[int, ...]:
    """A side of at most 96 pixels, the longer one of two: embedded data are square."""
    if not isinstance(size, tuple):
        return min(size, 96)
    side = min(max(size), 96)
    return (side,) if keep_tuple else side


def smoke(values: dict[str, Any]) -> dict[str, Any]:
    """The config shrunk to a few steps on a few embedded examples.

    The model, the task and the optimizer stay as they are. So does an embedded source;
    the others give way to one with labels of the same kind, with the channels and, up
    to 96 pixels, the size of the config's own images (networks for 224x224 take no less
    than 67 or 75), and `OF_CLASSES` are left out.
    """
    given = values["data"]
    own = given["name"]
    fallback = (own if own in EMBEDDED else "digits", {})
    name, more = STAND_INS.get(own.partition(":")[0], fallback)
    size = given.get("image_size") or {**EMBEDDED, "tfds:mnist": 28}.get(own, 32)
    keys = {*data.options(name), *keywords(Augment)} - PLACES
    small = {
        "name": name,
        "image_size": _small(size, keep_tuple=name == own),
        "batch_size": min(given.get("batch_size", 8), 8),
    }
    counts = {"train_examples": 40, "test_examples": 20}
    small |= {key: count for key, count in counts.items() if key in keys}
    if name != own and not given.get("channels"):
        small["channels"] = 1 if own == "tfds:mnist" else 3
    train = {key: value for key, value in values["train"].items() if key[0] == "l"}
    for key in OF_CLASSES if name != own else ():
        group, _, left_out = key.partition(".")
        kept = {k: v for k, v in values[group].items() if k != left_out}
        values = values | {group: kept}
    return values | {
        "data": {key: given[key] for key in keys & given.keys()} | more | small,
        "train": train | {"steps": 4},
        "eval": {"every_steps": 2},
        "checkpoint": {},
    }
