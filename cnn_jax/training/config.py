"""Configs: defaults, loading from a file, overriding, checking, resolving.

A config key is a keyword-only argument of the function that reads it (or an
attribute of the model that is built from it). So the signatures are the schema:
an unknown key, a key that nothing reads and a value of the wrong type are found
here, before anything is built, and the resolved config holds every value that
the run uses.
"""

import ast
import dataclasses
import difflib
import hashlib
import importlib.util
import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NewType

from beartype import BeartypeConf
from beartype.door import is_bearable
from ml_collections import ConfigDict, FrozenConfigDict

from cnn_jax.errors import UserError, unknown

# A resolved config, or a group of one.
Config = FrozenConfigDict

# A length of training in steps. A parameter `every: Duration` is written in a
# config as any one of `every_steps`, `every_epochs` and `every_examples`.
Duration = NewType("Duration", int)
UNITS = {"steps": int, "epochs": float, "examples": int}
REQUIRED = object()  # in place of a default


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
            "train": {"epochs": 30.0},
            "eval": {},
            "checkpoint": {},
        },
        type_safe=False,
    )


# ------------------------------------------------------------------- schema


def keywords(function: Callable) -> dict[str, Key]:
    """The config keys that `function` reads: its keyword-only parameters.

    A `Duration` parameter becomes one key for each unit; the first one takes the
    parameter's default, which is in steps.
    """
    hints = typing.get_type_hints(function)
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
        keys[f"{prefix}steps"] = Key(int | None, default_steps)
    return keys


def schema(values: Mapping[str, Any]) -> dict[str, dict[str, Key]]:
    """The keys of each group, given the names chosen in `values`."""
    # Here and not above: `--help` should not wait for JAX.
    from cnn_jax import data, models, tasks
    from cnn_jax.data.augment import Augment
    from cnn_jax.training import loop, optimizers, schedules

    def name_in(group: str, known) -> str:
        name = values[group].get("name")
        if not isinstance(name, str):
            raise UserError(f"config.{group}.name must be a string, got {name!r}.")
        if known is not None and name not in known:
            raise unknown(group, name, known)
        return name

    def model_keys(name: str) -> dict[str, Key]:
        return {
            "num_classes": Key(int | None, None),
            "dtype": Key(str | None, None),
        } | {key: Key(*pair) for key, pair in models.attributes(name).items()}

    name = {"name": Key(str)}
    augment = {
        field.name: Key(typing.get_type_hints(Augment)[field.name], field.default)
        for field in dataclasses.fields(Augment)
    }
    return {
        "data": name
        | {key: Key(*pair) for key, pair in data.options(name_in("data", None)).items()}
        | keywords(loop.batches)
        | augment,
        "model": name | model_keys(name_in("model", models.MODELS)),
        "task": name | keywords(tasks.TASKS[name_in("task", tasks.TASKS)]),
        "optimizer": name
        | keywords(optimizers.make)
        | keywords(optimizers.OPTIMIZERS[name_in("optimizer", optimizers.OPTIMIZERS)]),
        "schedule": name
        | keywords(schedules.SCHEDULES[name_in("schedule", schedules.SCHEDULES)]),
        "train": duration_keys("") | duration_keys("log_every", 50),
        "eval": duration_keys("every") | {"batch_size": Key(int | None, None)},
        "checkpoint": duration_keys("every") | {"keep": Key(int, 1)},
    }


# ------------------------------------------------------------------ loading


def load_file(spec: str) -> dict[str, Any]:
    """The values of a config file, `PATH.py` or `PATH.py:ARG`, as nested dicts.

    Raises:
      UserError: the file is missing or broken, or does not know the argument.
    """
    path, _, argument = spec.partition(":")
    if not Path(path).is_file():
        near = sorted(str(p) for p in Path(path).parent.glob("*.py"))
        found = f" There are: {', '.join(near)}." if near else ""
        raise UserError(f"no config file '{path}'.{found}")
    module_spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(module_spec)
    try:
        module_spec.loader.exec_module(module)
        config = module.get_config(argument) if argument else module.get_config()
    except UserError:
        raise
    except Exception as error:
        line = _line_in(path, error)
        raise UserError(
            f"config file '{path}'{line} failed: {type(error).__name__}: {error}"
        ) from error
    return config.to_dict()


def _line_in(path: str, error: Exception) -> str:
    """Where in the file at `path` the error came up, as `, line 12,`."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno},"
    traceback, line = error.__traceback__, None
    while traceback:
        if Path(traceback.tb_frame.f_code.co_filename) == Path(path).absolute():
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return f", line {line}," if line else ""


def choose(recipes: Mapping[str, Callable[[], ConfigDict]], argument: str | None):
    """The recipe that a config file's argument names; None names the first one."""
    if argument is None:
        argument = next(iter(recipes))
    if argument not in recipes:
        raise unknown("argument of the config file", argument, recipes)
    return recipes[argument]()


def resolve(
    values: Mapping[str, Any], overrides: Mapping[str, str] | None = None
) -> Config:
    """Checks a config and fills in every default.

    Args:
      values: the config file's values, as nested dicts.
      overrides: from the command line: `{"optimizer.learning_rate": "0.05"}`.

    Raises:
      UserError: an unknown key or one that nothing reads, a value of the wrong
        type, a missing value, or one duration given in two units.
    """
    overrides = dict(overrides or {})
    values = {
        key: dict(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
    }
    groups = {key: value for key, value in default().items() if key != "seed"}
    for key in [*values, *(override.split(".")[0] for override in overrides)]:
        if key not in groups and key != "seed":
            raise unknown("config key", key, [*groups, "seed"])
    for group in groups:
        if not isinstance(values.setdefault(group, {}), dict) or group in overrides:
            raise UserError(f"config.{group} is a group: set config.{group}.KEY.")

    # Names first: they decide which other keys there are. What the file says about
    # a thing that the command line replaces goes with it.
    replaced = set()
    for group in groups:
        if f"{group}.name" in overrides:
            name = overrides.pop(f"{group}.name")
            if name != values[group].get("name"):
                replaced.add(group)
            values[group]["name"] = name
    keys = schema(values)
    for group in replaced:
        values[group] = {k: v for k, v in values[group].items() if k in keys[group]}

    seed = _parsed("seed", overrides.pop("seed", None), Key(int))
    resolved = {"seed": values.get("seed", 0) if seed is None else seed}
    _check_type("seed", resolved["seed"], int)
    for group, known in keys.items():
        given = values[group]
        from_line = {}
        for override, text in overrides.items():
            owner, _, key = override.partition(".")
            if owner != group:
                continue
            if key not in known:
                raise _nothing_reads(group, key, known, values)
            from_line[key] = _parsed(override, text, known[key])
        for key in given:
            if key not in known:
                raise _nothing_reads(group, key, known, values)
        _one_unit_each(group, given, from_line, known)
        resolved[group] = {}
        for key, (hint, fallback) in known.items():
            value = from_line.get(key, given.get(key, fallback))
            if value is REQUIRED:
                raise UserError(
                    f"config.{group}.{key} is missing: set it in the config file "
                    f"or with --config.{group}.{key}=..."
                )
            resolved[group][key] = _check_type(f"{group}.{key}", value, hint)
    if all(resolved["train"][unit] is None for unit in UNITS):
        raise UserError("set one of config.train.steps, .epochs and .examples.")
    return Config(resolved)


def _nothing_reads(group: str, key: str, known, values) -> UserError:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    suggestion = f" Did you mean 'config.{group}.{near[0]}'?" if near else ""
    name = values[group].get("name")
    reader = f" with {group} '{name}'" if name else ""
    return UserError(
        f"unknown config key 'config.{group}.{key}': nothing reads it{reader}."
        f"{suggestion} Known: {', '.join(sorted(known))}."
    )


def _one_unit_each(group: str, given: dict, from_line: dict, known) -> None:
    """Of a duration, the command line's unit takes the place of the file's."""
    for key in known:
        if not key.endswith("steps"):
            continue
        prefix = key.removesuffix("steps")
        units = [prefix + unit for unit in UNITS]
        for source in (from_line, given):
            chosen = [unit for unit in units if source.get(unit) is not None]
            if len(chosen) > 1:
                raise UserError(
                    f"config.{group} sets {' and '.join(chosen)}: one length, "
                    "given twice. Set one of them."
                )
            if chosen:
                # An explicit None also keeps the default's unit out.
                given.update({unit: None for unit in units if unit != chosen[0]})
                break


def _parsed(key: str, text: str | None, expected: Key) -> Any:
    """The value that the text from the command line stands for."""
    if text is None:
        return None
    alternatives = _alternatives(expected.hint)
    if text.lower() == "none" and type(None) in alternatives:
        return None
    if str in alternatives:
        return text
    literal = {"true": "True", "false": "False"}.get(text, text)
    try:
        value = ast.literal_eval(literal)
    except (SyntaxError, ValueError):
        raise _wrong_type(key, text, expected.hint) from None
    takes_tuple = any(
        typing.get_origin(alternative) is tuple for alternative in alternatives
    )
    return (value,) if takes_tuple and not isinstance(value, tuple | list) else value


def _check_type(key: str, value: Any, hint: Any) -> Any:
    """The value, lists as tuples and whole numbers as floats where one is meant."""
    if isinstance(value, list):
        value = tuple(value)
    alternatives = _alternatives(hint)
    wrong_bool = isinstance(value, bool) and bool not in alternatives
    if wrong_bool or not is_bearable(
        value, hint, conf=BeartypeConf(is_pep484_tower=True)
    ):
        raise _wrong_type(key, value, hint)
    if isinstance(value, int) and float in alternatives and int not in alternatives:
        value = float(value)
    return value


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """The members of a union, or the one type that the hint is."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if union else (hint,)


def _wrong_type(key: str, value: Any, hint: Any) -> UserError:
    kind = hint.__name__ if isinstance(hint, type) else str(hint)
    return UserError(
        f"config.{key} must be of type {kind.replace('NoneType', 'None')}, "
        f"got {value!r}."
    )


# ------------------------------------------------------------------- using it


def steps_in(group: Config, name: str, *, batch_size: int, examples: int) -> int | None:
    """A duration in steps, from whichever unit the config gives; None if none.

    An epoch is `examples / batch_size` steps; parts of a step are rounded up.

    Raises:
      UserError: it is negative.
    """
    prefix = f"{name}_" if name else ""
    if group[f"{prefix}steps"] is not None:
        steps = group[f"{prefix}steps"]
    elif group[f"{prefix}epochs"] is not None:
        steps = -(-round(group[f"{prefix}epochs"] * examples) // batch_size)
    elif group[f"{prefix}examples"] is not None:
        steps = -(-group[f"{prefix}examples"] // batch_size)
    else:
        return None
    if steps < 0:
        raise UserError(f"a config's length {prefix}... must not be negative.")
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


def hash_of(config: Config) -> str:
    """Twelve hexadecimal digits that differ whenever a value does."""
    text = json.dumps(flat(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Lines such as `optimizer.learning_rate: 0.1 (now 0.05)`, both flat."""
    return [
        f"{key}: {theirs.get(key, 'absent')!r} (now {ours.get(key, 'absent')!r})"
        for key in sorted({*ours, *theirs})
        if ours.get(key, "absent") != theirs.get(key, "absent")
    ]


def smoke(values: dict[str, Any]) -> dict[str, Any]:
    """The config shrunk to a few steps on a few embedded digits.

    The model, the task and the optimizer stay as they are; the images get the
    channels and, up to 64 pixels, the size of the config's own.
    """
    data = values["data"]
    grey = data["name"] in ("digits", "tfds:mnist") or data.get("channels") == 1
    size = data.get("image_size") or {"digits": 8, "tfds:mnist": 28}.get(
        data["name"], 32
    )
    kept = {key: data[key] for key in ("crop_padding", "flip") if key in data}
    train = {key: value for key, value in values["train"].items() if key[0] == "l"}
    return values | {
        "data": kept
        | {
            "name": "digits",
            "image_size": min(size, 64),
            "channels": 1 if grey else 3,
            "train_examples": 40,
            "test_examples": 20,
            "batch_size": 8,
        },
        "train": train | {"steps": 4},
        "eval": {"every_steps": 2},
        "checkpoint": {},
    }
