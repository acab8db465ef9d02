"""Configs: defaults, loading from a file, and what the values mean.

A config key is a keyword-only argument of the function that reads it, or an
attribute of the model that is built from it. So the signatures are the schema, and
`runs.resolve` checks a config against them.
"""

import hashlib
import importlib.util
import json
from collections.abc import Callable, Mapping
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
from cnn_jax.data import augmentations

# A resolved config, or a group of one.
Config: TypeAlias = FrozenConfigDict

# A length of training in steps. A parameter `every: Duration` is written in a
# config as any one of `every_steps`, `every_epochs` and `every_examples`.
Duration: TypeAlias = Annotated[int, "duration"]
MOST_STEPS = 2**31 - 1  # the state counts its steps with 32 bits
UNITS = {
    "steps": Annotated[int, Range(least=0, most=MOST_STEPS)],
    "epochs": Annotated[float, Range(least=0, most=MOST_STEPS)],
    "examples": Annotated[int, Range(least=0)],
}
RECIPES = (("configs",), ("experiments",))  # folders that come with the package


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
    keys: dict[str, Key] = {}
    for name, key in core_keys.keywords(function).items():
        if key.hint == Duration:
            keys |= duration_keys(name, key.default)
        else:
            keys[name] = key
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
    assert module_spec and module_spec.loader  # as every file of Python has
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
    for name, key in core_keys.keywords(function).items():
        if name in group:
            result[name] = group[name]
        elif key.hint == Duration:
            result[name] = steps_in(group, name, **sizes)
    return result


def as_dict(config: Config) -> dict[str, Any]:
    """A resolved config as plain nested dicts, as JSON keeps it."""
    return json.loads(json.dumps(config.to_dict()))


def flat(config: Config) -> dict[str, Any]:
    """`{"optimizer.learning_rate": 0.1, ...}`, keys in order."""
    rows: dict[str, Any] = {}
    for group, values in sorted(as_dict(config).items()):
        if isinstance(values, dict):
            rows |= {f"{group}.{key}": value for key, value in sorted(values.items())}
        else:
            rows[group] = values
    return rows


# Where the data lies, and how many processes read it, does not change a result.
NOT_IDENTITY = {"data.dir", "data.data_dir", "data.workers"}
# The keys of augmentations that count in the identity of a run even where they are off.
# Newer ones count where they are on, so that older runs keep their identity.
ALWAYS_IDENTITY = {"data.crop_padding", "data.flip", "data.jitter"}


def identity(config: Config) -> dict[str, Any]:
    """`flat` without what may differ between two parts of one run."""
    off = {
        f"data.{key}": list(default) if isinstance(default, tuple) else default
        for key, (_, default) in augmentations.options().items()
        if f"data.{key}" not in ALWAYS_IDENTITY
    }
    return {
        key: value
        for key, value in flat(config).items()
        if key not in NOT_IDENTITY and (key not in off or value != off[key])
    }


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


# All keys that hold a path.
PATHS = {*(f"data.{key}" for key in data.PLACES), "model.init_from"}
