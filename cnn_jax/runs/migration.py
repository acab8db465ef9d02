"""Migrates configs of earlier versions to the schema of this version.

The schema is the set of config keys and their allowed values. config.json states the
version of its schema; a file without a version has version 1. A new version that
renames a value of a key adds an entry to `RENAMED`. A new version in which a new key
would change older runs adds an entry to `FORMER`. Version 4 replaced a key for each
augmentation by the list `data.augmentations`. Version 5 made keys of the crops and the
normalization, which depended on whether the images were in memory.
"""

from collections.abc import Mapping
from typing import Any

from cnn_jax import data
from cnn_jax.core import imports
from cnn_jax.core.keys import keywords
from cnn_jax.data import augmentations
from cnn_jax.data.dataset import IMAGENET_MEAN
from cnn_jax.data.images import CROP_AREA
from cnn_jax.training import config as config_lib

VERSION = 5
PLACED = 5  # the version since which the place of the data changes no result
LISTED = 4  # the version since which augmentations are a list
ROLES = 3  # the version since which the best checkpoint is chosen on `val`
# The renamed values `{key: {old: new}}`, by the version that introduced the new name.
RENAMED: dict[int, dict[str, dict[Any, Any]]] = {
    2: {"task.name": {"localisation": "localization"}},  # codespell:ignore
}
# The values of new keys in configs of earlier versions, by the version that introduced
# the keys.
FORMER: dict[int, dict[str, Any]] = {
    ROLES: {"data.val": 0, "data.test_split": config_lib.OLD_TEST_SPLIT},
}
# The keys of the former augmentations.
FORMER_KEYS = ("crop_padding", "flip", "rotation", "jitter")
# The fraction of a picture's side in the evaluation of runs with random crops.
FORMER_CROP = 0.875


def migrated(
    config: Mapping[str, Any], version: int, facts: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Returns a config of an earlier schema, translated to the present schema.

    Args:
      config: the config as nested dicts.
      version: the version of the config's schema.
      facts: the facts about the run's data set in config.json (see `dataset_facts`);
        None: not known.

    Returns:
      The translated config as nested dicts.
    """
    found = {
        key: dict(value) if isinstance(value, Mapping) else value
        for key, value in config.items()
    }
    for number, renamed in sorted(RENAMED.items()):
        if number <= version:
            continue
        for path, values in renamed.items():
            group, _, key = path.partition(".")
            value = found.get(group, {}).get(key)
            if isinstance(value, str) and value in values:
                found[group][key] = values[value]
    name = found.get("data", {}).get("name")
    for number, former in FORMER.items():
        if number > version and isinstance(name, str):
            known = data.options(name)
            for path, value in former.items():
                group, _, key = path.partition(".")
                if key in known:
                    found[group].setdefault(key, value)
    if version < LISTED and "data" in found:
        found["data"] = _listed(found["data"])
    if version < PLACED and isinstance(name, str):
        weights = found.get("model", {}).get("init_from")
        found["data"] = _placed(found["data"], facts or {}, weights)
    return found


def _placed(
    group: Mapping[str, Any], facts: Mapping[str, Any], weights: str | None
) -> dict[str, Any]:
    """Returns the config group `data` with keys for crops and normalization.

    Before, these were not the same for images in memory and on the disk. The facts of
    the run tell which ones it had. Images on the disk had the normalization of
    ImageNet. `folder`, `csv`, `tfds` with an image size, and `clips` also had random
    crops there, and evaluation then took `FORMER_CROP` of a picture's side.

    Args:
      group: the config group of an earlier version.
      facts: see `migrated`.
      weights: the value of `model.init_from`; weights may bring a normalization.
    """
    found = dict(group)
    known = data.options(found["name"])
    if "random_crop" in known and facts.get("crop") == FORMER_CROP:
        found["random_crop"] = [found.get("crop_area", CROP_AREA[0]), 1.0]
        found["eval_crop"] = FORMER_CROP
    found.pop("crop_area", None)
    given, mean = found.get("normalization"), tuple(facts.get("mean", ()))
    of_data = given == "data" or (given is None and weights is None)
    on_disk = {"in_memory", "random_crop"} & known.keys()
    if on_disk and of_data and mean == IMAGENET_MEAN.get(len(mean)):
        found["normalization"] = "imagenet"
    return found


def _listed(group: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the config group `data` with a list of augmentations.

    Before, each augmentation had its own keys, which turned it on, and the order was
    fixed. The list had the user's augmentations alone, without their options.

    Args:
      group: the config group of an earlier version.
    """
    left = dict(group)
    former = {key: left.pop(key, None) for key in FORMER_KEYS}
    found: list[Any] = []
    if former["crop_padding"]:
        found.append(("crop", {"padding": former["crop_padding"]}))
    if former["flip"]:
        found.append(("flip", {}))
    if former["rotation"]:
        found.append(("rotation", {"degrees": former["rotation"]}))
    if jitter := former["jitter"]:
        strengths = dict.fromkeys(("brightness", "contrast", "saturation"), jitter)
        found.append(("color_jitter", {**strengths, "hue": 0.0}))
    for entry in left.pop("augmentations", ()):
        if imports.is_path(entry):
            keys = keywords(augmentations.find(entry)).keys() & left.keys()
            entry = (entry, {key: left.pop(key) for key in sorted(keys)})
        found.append(entry)
    return left | ({"augmentations": found} if found else {})
