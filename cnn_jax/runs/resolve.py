"""Resolves a config: merges the file with the command line, and fills in defaults.

Config keys have the form GROUP.KEY, such as `optimizer.learning_rate`. The known keys
of a group depend on the chosen model, task, optimizer and so on (see `schema`). A key
that nothing reads, or a value of a wrong type, raises an error here, before any data is
read or a network is made.
"""

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from cnn_jax.core import ranges
from cnn_jax.core.calls import Check
from cnn_jax.core.errors import UserError, unknown
from cnn_jax.core.paths import expanded, is_place
from cnn_jax.core.ranges import Seed
from cnn_jax.core.values import checked, parsed
from cnn_jax.data import augmentations
from cnn_jax.runs.schema import Keys, schema
from cnn_jax.runs.smoke import OF_CLASSES, smoke
from cnn_jax.training import parameter_groups
from cnn_jax.training.config import REQUIRED, UNITS, Config, Key, default
from cnn_jax.weights.weight_files import HUB

GROUPS = tuple(key for key in default() if key != "seed")
# The keys whose entries have options, and what makes texts of the entries.
LISTS: tuple[tuple[str, str, Callable[[Any, Check], tuple[str, ...]]], ...] = (
    ("data", "augmentations", augmentations.resolved),
    ("optimizer", "groups", parameter_groups.resolved),
)


def resolve(
    values: Mapping[str, Any],
    overrides: Mapping[str, str] | None = None,
    *,
    any_number: bool = False,
) -> Config:
    """Checks a config and fills in every default.

    Args:
      values: the config file's values, as nested dicts.
      overrides: the values on the command line, as texts by dotted key:
        `{"optimizer.learning_rate": "0.05"}`.
      any_number: if True, accepts numbers outside of their ranges. Configs of older
        versions may have such numbers.

    Raises:
      UserError: if a key is unknown or nothing reads it, if a value is missing, has a
        wrong type or is out of its range, or if a duration is given in two units.
    """
    values, overrides = _in_groups(values, overrides or {})
    check = (lambda *_: None) if any_number else ranges.check
    values, overrides = _with_lists(values, overrides, check)
    values, overrides, keys = _with_names(values, overrides)
    resolved: dict[str, Any] = {"seed": _seed(values, overrides, check)}
    for group, known in keys.items():
        resolved[group] = _group(group, known, values, overrides, check)
    if all(resolved["train"][unit] is None for unit in UNITS):
        raise UserError(
            "the config does not set the length of the training: set one of "
            "config.train.steps, config.train.epochs and config.train.examples."
        )
    return Config(resolved)


def resolve_smoke(values: Mapping[str, Any], overrides: Mapping[str, str]) -> Config:
    """Resolves a config that is shrunk to a few steps on a few embedded images.

    See `resolve` for the arguments.

    Raises:
      UserError: as `resolve`. The full config is checked too.
    """
    whole = resolve(values, overrides)
    values, overrides = _with_lists(values, overrides, ranges.check)
    own, values = values["data"]["name"], smoke(values, overrides.get("data.name"))
    # Warm-up and gradual unfreezing become one step each.
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
        # Paths of the replaced data are not read.
        keys = schema(values)["data"]
        known = {key for key, (hint, _) in keys.items() if not is_place(hint)}
        overrides = {
            key: text
            for key, text in overrides.items()
            if not key.startswith("data.") or key.removeprefix("data.") in known
        }
    return resolve(values, overrides)


def _in_groups(
    values: Mapping[str, Any], overrides: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns copies of the values and of the overrides, in which every group exists.

    A group that the config file does not set becomes an empty dict.

    Raises:
      UserError: if a group is unknown, or if a group is set to a single value instead
        of keys and values.
    """
    values = {
        key: dict(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
    }
    for key in [*values, *(override.split(".")[0] for override in overrides)]:
        if key not in GROUPS and key != "seed":
            raise unknown("config key", key, [*GROUPS, "seed"])
    for override in overrides:
        if override.startswith("seed."):
            raise UserError(
                f"config.seed is a number, not a group: set --config.seed=N instead of "
                f"config.{override}."
            )
    for group in GROUPS:
        if not isinstance(values.setdefault(group, {}), dict) or group in overrides:
            raise UserError(
                f"config.{group} is a group of keys: set one of its keys, "
                f"config.{group}.KEY."
            )
    return values, dict(overrides)


def _with_names(
    values: Mapping[str, Any], overrides: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str], dict[str, Keys]]:
    """Moves the overrides `GROUP.name`, such as `model.name`, into the values.

    If the command line replaces the file's model (or optimizer, ...), the file's values
    are kept only for keys that the new model (or optimizer, ...) also reads.

    Returns:
      The values, the other overrides, and the known keys of each group.
    """
    values, overrides, replaced = dict(values), dict(overrides), set()
    for group in GROUPS:
        if f"{group}.name" in overrides:
            name = overrides.pop(f"{group}.name")
            if name != values[group].get("name"):
                replaced.add(group)
            values[group] = values[group] | {"name": name}
    keys = schema(values)
    for group in replaced:
        values[group] = {k: v for k, v in values[group].items() if k in keys[group]}
    return values, overrides, keys


def _seed(values: Mapping[str, Any], overrides: Mapping[str, str], check: Check) -> int:
    """Returns the seed from the command line or the file, after checking its value."""
    seed = values.get("seed", 0)
    if "seed" in overrides:
        seed = parsed("seed", overrides["seed"], Key(int))
    seed = checked("seed", seed, int)
    check("config.seed", seed, Seed)
    return seed


def _group(
    group: str,
    known: Keys,
    values: Mapping[str, Any],
    overrides: Mapping[str, str],
    check: Check,
) -> dict[str, Any]:
    """Returns the value of each known key of a group, after checking the values.

    Args:
      group: the name of the group, such as "optimizer".
      known: the group's known keys, with types and defaults.
      values: the config file's values of all groups.
      overrides: the command line's texts for all groups.
      check: a function that checks a value against the range in its type.
    """
    given, from_line = dict(values[group]), {}
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
    resolved = {}
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
        resolved[key] = value
    return resolved


def _with_lists(
    values: Mapping[str, Any], overrides: Mapping[str, str], check: Check
) -> tuple[dict[str, Any], dict[str, str]]:
    """Resolves the lists of entries, from the command line or the file.

    Returns:
      The values with the resolved lists, and the other overrides.
    """
    values, overrides = dict(values), dict(overrides)
    for group, key, resolved in LISTS:
        own = values[group].get(key, ())
        texts = resolved(overrides.pop(f"{group}.{key}", own), check)
        values[group] = values[group] | {key: texts}
    return values, overrides


def _nothing_reads(group: str, key: str, known, values) -> UserError:
    """Returns the error for a key that nothing reads.

    The message suggests the known key with the most similar name.
    """
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    suggestion = f" Did you mean 'config.{group}.{near[0]}'?" if near else ""
    name = values[group].get("name")
    reader = f" with {group} '{name}'" if name else ""
    return UserError(
        f"unknown config key 'config.{group}.{key}': nothing reads this key{reader}."
        f"{suggestion} Known: {', '.join(sorted(known))}."
    )


def _one_unit_each(group: str, given: dict, from_line: dict, known) -> None:
    """Keeps a single unit (steps, epochs, ...) of each duration in `given`.

    If the command line gives a duration in another unit than the file, the file's unit
    is set to None.

    Args:
      group: the name of the group.
      given: the file's values of the group; modified.
      from_line: the command line's values of the group.
      known: the group's known keys.

    Raises:
      UserError: if the file or the command line gives a duration in two units.
    """
    for key in known:
        if not key.endswith("steps"):
            continue
        prefix = key.removesuffix("steps")
        units = [prefix + unit for unit in UNITS]
        for source in (from_line, given):
            chosen = [unit for unit in units if source.get(unit) is not None]
            if len(chosen) > 1:
                raise UserError(
                    f"config.{group} sets {' and '.join(chosen)}, which are the same "
                    "length in different units: set only one of these keys."
                )
            if chosen:
                # An explicit None also turns off a default in another unit.
                given.update({unit: None for unit in units if unit != chosen[0]})
                break


def _check_place(key: str, value: Any) -> Any:
    """Returns the value of a key for a path, with `~` expanded.

    None, an empty text and `hf:REPOSITORY` are returned unchanged.
    """
    # An empty path of the data counts as not set.
    is_set = value is not None and (value != "" or key == "model.init_from")
    if not is_set or value.startswith(HUB):
        return value
    try:
        return expanded(value)
    except UserError as error:
        raise UserError(f"config.{key}: {error}") from error
