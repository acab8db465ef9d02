"""The page of all config keys, from the signatures and docstrings of their readers."""

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cnn_jax import data, models, tasks
from cnn_jax.core import docstrings, key_texts, ranges
from cnn_jax.core.keys import REQUIRED, Key, keywords
from cnn_jax.data import augmentations, perturbations
from cnn_jax.data.roles import Roles
from cnn_jax.data.source import Source
from cnn_jax.data.subset import Crops, Ranged, Stored, Subset
from cnn_jax.models.classifier import Classifier, NormalizedClassifier
from cnn_jax.models.exchangeable import Exchangeable
from cnn_jax.models.spec import ModelSpec
from cnn_jax.runs import schema
from cnn_jax.training import config, optimizers, schedules
from cnn_jax.training.progress import Progress
from docs.generators import markdown

Keys = Mapping[str, Key]

INTRODUCTION = """
A config has the groups `data`, `model`, `task`, `optimizer`, `schedule`, `train`,
`eval` and `checkpoint`, and the key `seed`. `--config.GROUP.KEY=VALUE` sets a key on
the command line. Most keys belong to one data source, network, task, optimizer or
schedule: a config has the keys of the things that it names. An unknown key, a value of
the wrong type and a number out of its range are errors.
[Config](../concepts/config.md) explains how a config is written.

A duration has one key for each unit: `warmup_steps`, `warmup_epochs` and
`warmup_examples`. A config sets one of them. An epoch is one pass over the training
examples.
"""
HEADERS = ("key", "type", "range", "default", "meaning")
# Networks whose fields many families share.
BASES = (Exchangeable, Classifier, NormalizedClassifier)
MODULE = docstrings.entries(schema)  # keys that are no parameters of a function


class Anything(NormalizedClassifier):
    """A network with the keys of every convolutional network."""

    def __call__(self, x: Any, train: bool) -> None: ...


class Undocumented(Exception):
    """A config key that no docstring explains."""


def page() -> str:
    """Returns the page.

    Raises:
      Undocumented: a key has no meaning in any docstring.
    """
    parts = [*_seed(), *_data(), *_model(), *_task(), *_optimizer(), *_schedule()]
    return markdown.page("Config keys", INTRODUCTION, [*parts, *_lengths()])


# --------------------------------------------------------------------------- the groups


def _seed() -> Iterator[str]:
    yield "## seed"
    meanings = {"seed": MODULE["seed"]}
    yield table({"seed": Key(ranges.Seed, config.default().seed)}, meanings)


def _data() -> Iterator[str]:
    yield "## data"
    yield "These keys belong to every data source."
    readers = schema.READERS["data"]
    shared = schema.merged("data", schema.NAME, *map(config.keywords, readers))
    told = map(docstrings.entries, readers)
    yield table(_started("data", shared), _group("data"), *told)
    yield "### Augmentations"
    yield (
        "Augmentations change the training images. They belong to every data source. "
        "[Augmentation](../concepts/augmentation.md) explains them."
    )
    yield table(augmentations.OPTIONS, _group("data"))
    for name, kind in augmentations.AUGMENTATIONS.items():
        yield f"#### {name}"
        yield sentence(kind)
        if options := keywords(kind):
            told = [docstrings.entries(base) for base in kind.__mro__]
            yield table(options, *told)
    yield "### Validation split"
    yield (
        "These keys choose the examples on which a run makes its choices. "
        "[Data](../concepts/data.md) explains them."
    )
    yield table(config.keywords(Roles), docstrings.entries(Roles))
    yield "### Subsets"
    yield "Sources of whole sets can use a part of their examples."
    yield table(_beyond(Subset, Roles), docstrings.entries(Subset))
    yield "Sources of sets on the disk have one more key:"
    yield table(_beyond(Stored, Subset), docstrings.entries(Stored))
    yield "Sources of stored pictures and videos have keys for crops and resizing:"
    yield table(_beyond(Crops, Subset), docstrings.entries(Crops))
    yield "Sources of pictures with any number of channels have a key for their values:"
    yield table(_beyond(Ranged, Subset), docstrings.entries(Ranged))
    yield "### Perturbations"
    yield "Experiments show the images of some sources with less information."
    view = config.keywords(perturbations.view)
    yield table(view, docstrings.entries(perturbations.view))
    for source in data.SOURCES.values():
        yield from _source(source)


def _beyond(kind: type, base: type) -> Keys:
    """The config keys of a class that its base class does not have."""
    known = config.keywords(base)
    return {k: v for k, v in config.keywords(kind).items() if k not in known}


def _source(source: Source) -> Iterator[str]:
    yield f"### Data source {source.name}"
    yield sentence(source.loader)
    own, meanings = config.keywords(source.loader), docstrings.entries(source.loader)
    taken = []
    if source.takes:
        names = ", ".join(map(markdown.code, config.keywords(Roles)))
        taken.append(f"[validation split](#validation-split): {names}")
    if source.takes and issubclass(source.takes, Subset):
        names = ", ".join(map(markdown.code, _beyond(source.takes, Roles)))
        taken.append(f"[subset](#subsets): {names}")
    elif source.takes:
        own = _beyond(source.takes, Roles) | own
        meanings = docstrings.entries(source.takes) | meanings
    if own:
        yield table(own, meanings)
    if source.perturbed:
        names = ", ".join(map(markdown.code, config.keywords(perturbations.view)))
        taken.append(f"[perturbation](#perturbations): {names}")
    if taken:
        more = "It also has" if own else "It has"
        yield f"{more} the keys of {', and of '.join(taken)}."


def _model() -> Iterator[str]:
    yield "## model"
    yield (
        "These keys belong to every network. A network without classes has no "
        "`num_classes`."
    )
    common = {
        key: MODULE[f"model.{key}"] for key in ("name", "num_classes", "init_from")
    }
    keys = schema._model("resnet20")
    common["dtype"] = MODULE["model.dtype"]
    yield table(_started("model", {name: keys[name] for name in common}), common)
    yield "### Convolutional networks"
    yield (
        "These keys belong to every network with feature maps and a head. The keys of "
        "a head (`head_width`, `head_grid`, ...) can be set with this head alone."
    )
    shared = {
        key: Key(*pair)
        for key, pair in ModelSpec(Anything).keys().items()
        if key not in common
    }
    yield table(shared, *map(docstrings.entries, BASES))
    specs = {
        **models.MODELS,
        **{f"{k}:NAME": s for k, s in models.ON_BACKBONES.items()},
    }
    for module in dict.fromkeys(spec.module for spec in specs.values()):
        yield from _network(
            module,
            {name: spec for name, spec in specs.items() if spec.module is module},
            shared,
            set(common),
        )


def _network(
    module: type, specs: Mapping[str, ModelSpec], shared: Keys, common: set[str]
) -> Iterator[str]:
    """The section of the networks that are made by one class."""
    yield f"### Network {module.__name__}"
    yield f"{sentence(module)} Networks: {', '.join(map(markdown.code, specs))}."
    own: dict[str, Key] = {}
    for spec in specs.values():
        for name, pair in spec.keys().items():
            key = Key(*pair)
            differs = name in own and own[name].default != key.default
            own[name] = Key(key.hint, VARIES) if differs else key
    meanings = _inherited(module)
    own = {
        name: key
        for name, key in own.items()
        if name not in common and (name in meanings or shared.get(name) != key)
    }
    if own:
        elsewhere = "see [convolutional networks](#convolutional-networks)."
        yield table(own, meanings, dict.fromkeys(shared, elsewhere))
    if issubclass(module, Classifier):
        batch = (
            ""
            if issubclass(module, NormalizedClassifier)
            else ", without `sync_batch_norm`"
        )
        more = "It also has" if own else "It has"
        shared_keys = "[convolutional networks](#convolutional-networks)"
        yield f"{more} the keys of {shared_keys}{batch}."


def _inherited(module: type) -> dict[str, str]:
    """The meanings of a class's attributes, by the docstrings of its bases.

    For classifiers, the keys of `BASES` are explained elsewhere.
    """
    elsewhere = BASES if issubclass(module, Classifier) else ()
    meanings: dict[str, str] = {}
    for base in reversed(module.__mro__):
        if base not in elsewhere and base.__module__.startswith("cnn_jax.models"):
            meanings |= docstrings.entries(base)
    return meanings


def _task() -> Iterator[str]:
    yield "## task"
    yield table(_started("task", schema.NAME), _group("task"))
    for name, task in tasks.TASKS.items():
        yield f"### Task {name}"
        yield sentence(task)
        if keys := config.keywords(task):
            told = [docstrings.entries(base) for base in task.__mro__]
            yield table(keys, *told)


def _optimizer() -> Iterator[str]:
    yield "## optimizer"
    yield "These keys belong to every optimizer."
    readers = schema.READERS["optimizer"]
    shared = schema.merged("optimizer", schema.NAME, *map(config.keywords, readers))
    told = map(docstrings.entries, readers)
    yield table(_started("optimizer", shared), _group("optimizer"), *told)
    for name, optimizer in optimizers.OPTIMIZERS.items():
        yield f"### Optimizer {name}"
        yield sentence(optimizer)
        yield table(config.keywords(optimizer), docstrings.entries(optimizer))


def _schedule() -> Iterator[str]:
    yield "## schedule"
    yield table(_started("schedule", schema.NAME), _group("schedule"))
    for name, schedule in schedules.SCHEDULES.items():
        yield f"### Schedule {name}"
        yield sentence(schedule)
        yield table(config.keywords(schedule), docstrings.entries(schedule))


def _lengths() -> Iterator[str]:
    groups = schema.schema(config.default().to_dict())
    for name in ("train", "eval", "checkpoint"):
        yield f"## {name}"
        told = map(docstrings.entries, (Progress, *schema.READERS.get(name, ())))
        yield table(groups[name], _group(name), *told)


def _started(group: str, keys: Keys) -> dict[str, Key]:
    """The keys with the values of the config that every recipe starts from."""
    values = config.default()[group]
    return {
        name: Key(key.hint, values.get(name, key.default)) for name, key in keys.items()
    }


def _group(name: str) -> dict[str, str]:
    """The meanings of a group's keys that are no parameters of a function."""
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): text
        for key, text in MODULE.items()
        if key.startswith(prefix)
    }


# --------------------------------------------------------------------------- the tables

VARIES = object()  # in place of a default that differs from variant to variant


def table(keys: Keys, *meanings: Mapping[str, str]) -> str:
    """Returns a table of config keys.

    Args:
      meanings: texts by key; the first one that has the key is taken. A duration has
        one text for all of its units, `warmup` for `warmup_steps`.

    Raises:
      Undocumented: no text explains a key.
    """
    rows = []
    for names, key, meaning in key_texts.joined(keys, config.UNITS):
        texts = [found[meaning] for found in meanings if meaning in found]
        if not texts:
            raise Undocumented(f"no docstring explains the config key {meaning}")
        rows.append(
            (
                ", ".join(map(markdown.code, names)),
                ", ".join(key_texts.types_of(key.hint)),
                key_texts.range_of(key.hint),
                default_of(key),
                texts[0] if "](#" in texts[0] else markdown.prose(texts[0]),
            )
        )
    return markdown.table(HEADERS, rows)


def default_of(key: Key) -> str:
    """Returns the default as the command line takes it."""
    if key.default in (REQUIRED, dataclasses.MISSING):
        return "required"
    if key.default is VARIES:
        return "by network"
    if isinstance(key.default, str) and " " in key.default:
        return key.default
    if key.default == "":
        return "empty"
    return markdown.code(str(key.default))


def sentence(thing: Callable | type) -> str:
    """Returns the first sentence of a docstring as a paragraph."""
    return markdown.prose(docstrings.first_sentence(inspect.unwrap(thing)))
