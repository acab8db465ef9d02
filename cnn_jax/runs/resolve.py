"""From what a config file and the command line say to every value that a run uses.

Here an unknown key, a key that nothing reads and a value of the wrong type are
found, before anything is built.
"""

import difflib
from collections.abc import Mapping
from typing import Any

from cnn_jax.core import ranges
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.core.paths import expanded, is_place
from cnn_jax.core.ranges import Seed
from cnn_jax.data import augmentations
from cnn_jax.runs.schema import schema
from cnn_jax.runs.smoke import OF_CLASSES, smoke
from cnn_jax.runs.values import checked, parsed
from cnn_jax.training.config import REQUIRED, UNITS, Config, Key, default
from cnn_jax.weights.weight_files import HUB


def resolve(
    values: Mapping[str, Any],
    overrides: Mapping[str, str] | None = None,
    *,
    any_number: bool = False,
) -> Config:
    """Checks a config and fills in every default.

    Args:
      values: the config file's values, as nested dicts.
      overrides: from the command line: `{"optimizer.learning_rate": "0.05"}`.
      any_number: accept numbers out of their ranges, for runs of older versions.

    Raises:
      UserError: an unknown key or one that nothing reads, a value of the wrong
        type or out of its range, a missing value, or one duration given in two units.
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
    for override in overrides:
        if override.startswith("seed."):
            raise UserError(
                f"config.seed is a number: nothing reads config.{override}."
            )
    for group in groups:
        if not isinstance(values.setdefault(group, {}), dict) or group in overrides:
            raise UserError(f"config.{group} is a group: set config.{group}.KEY.")

    values, overrides = _with_augmentations(values, overrides)
    # Names first: they decide which other keys there are. Of what the file says about
    # a thing that the command line replaces, the keys that both read stay.
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

    seed = values.get("seed", 0)
    if "seed" in overrides:
        seed = parsed("seed", overrides.pop("seed"), Key(int))
    check = (lambda *_: None) if any_number else ranges.check
    resolved = {"seed": checked("seed", seed, int)}
    check("config.seed", resolved["seed"], Seed)
    for group, known in keys.items():
        given = values[group]
        from_line = {}
        for override, text in overrides.items():
            owner, _, key = override.partition(".")
            if owner != group:
                continue
            if key not in known:
                raise _nothing_reads(group, key, known, values)
            from_line[key] = parsed(override, text, known[key])
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
            value = checked(f"{group}.{key}", value, hint)
            check(f"config.{group}.{key}", value, hint)
            if key == "init_from" or is_place(hint):
                value = _check_place(f"{group}.{key}", value)
            resolved[group][key] = value
    if all(resolved["train"][unit] is None for unit in UNITS):
        raise UserError("set one of config.train.steps, .epochs and .examples.")
    return Config(resolved)


def resolve_smoke(values: Mapping[str, Any], overrides: Mapping[str, str]) -> Config:
    """The same in small: a few steps on a few embedded digits.

    Raises:
      UserError: as `resolve`, for the whole config too.
    """
    whole = resolve(values, overrides)
    values, overrides = _with_augmentations(values, overrides)
    own, values = values["data"]["name"], smoke(values, overrides.get("data.name"))
    # Lengths within a run become a step each.
    steps = max(values["train"]["steps"], 1 + len(whole.optimizer.unfreeze))
    values["train"] = values["train"] | {"steps": steps}
    for group, length in (("schedule", "warmup_"), ("optimizer", "unfreeze_every_")):
        units = {length + unit for unit in UNITS}
        left = {key: v for key, v in values[group].items() if key not in units}
        if any(whole[group].get(key) for key in units):
            left[f"{length}steps"] = 1
        values[group] = left
        given = {f"{group}.{key}" for key in units}
        overrides = {key: text for key, text in overrides.items() if key not in given}
    if values["data"]["name"] != own:
        overrides = {k: text for k, text in overrides.items() if k not in OF_CLASSES}
    if "data.name" not in overrides:
        # Those of the data that the digits stand in for have nothing to say of them.
        keys = schema(values)["data"]
        known = {key for key, (hint, _) in keys.items() if not is_place(hint)}
        overrides = {
            key: text
            for key, text in overrides.items()
            if not key.startswith("data.") or key.removeprefix("data.") in known
        }
    return resolve(values, overrides)


def _with_augmentations(
    values: Mapping[str, Any], overrides: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Moves the names of augmentations, which decide on keys, to the values."""
    values, overrides = dict(values), dict(overrides)
    text = overrides.pop("data.augmentations", None)
    if text is not None:
        named = parsed("data.augmentations", text, augmentations.NAMES)
        values["data"] = values["data"] | {"augmentations": named}
    return values, overrides


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


def _check_place(key: str, value: Any) -> Any:
    """Returns the value, and of a path its expanded form."""
    # An empty place of data is one that is not set.
    is_set = value is not None and (value != "" or key == "model.init_from")
    if not is_set or value.startswith(HUB):
        return value
    try:
        return expanded(value)
    except UserError as error:
        raise UserError(f"config.{key}: {error}") from error
