"""Transfer learning: which parameters are trained, from which step, and how fast.

A pattern is a regular expression for the path of a module or of a parameter, such as
`head`, `layer4/.*` or `.*/bias`. What matches is meant with all that is inside of it.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from tabulate import tabulate

from cnn_jax import layers
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Share
from cnn_jax.training.config import Duration

Path = tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """How a parameter is trained: from which step (None: never), and at which share of
    the learning rate."""

    start: int | None = 0
    rate: float = 1.0


@dataclass(frozen=True)
class Phase:
    """The parameters that are trained during some of the steps, and those that rest."""

    trained: frozenset[Path] = frozenset()
    resting: frozenset[Path] = frozenset()

    def split(self, params: Any) -> tuple[Any, Any]:
        """The parameters that are trained, and the others."""
        if not self.resting:
            return params, {}
        flat = flatten_dict(params)
        rest = {path: flat.pop(path) for path in self.resting}
        return unflatten_dict(flat), unflatten_dict(rest)

    def rests(self, module: Path) -> bool:
        """Whether nothing that is inside the module is trained.

        One without parameters rests where the module around it does.
        """
        for depth in range(len(module), 0, -1):
            if any(path[:depth] == module[:depth] for path in self.trained):
                return False
            if any(path[:depth] == module[:depth] for path in self.resting):
                return True
        return False

    def keep(self, new: Any, old: Any) -> Any:
        """`new` parameters or statistics, but the `old` ones of what rests."""
        if not self.resting:
            return new
        old = flatten_dict(old)
        return unflatten_dict(
            {
                path: old[path]
                if path in self.resting or self.rests(path[:-1])
                else leaf
                for path, leaf in flatten_dict(new).items()
            }
        )

    def marks(self, batch_stats: Any) -> dict[str, Any]:
        """Returns the variables that keep frozen layers at their running statistics."""
        collection, entry = layers.FROZEN
        modules = {path[:-1] for path in flatten_dict(batch_stats)}
        frozen = {(*m, entry): True for m in modules if self.rests(m)}
        return {collection: unflatten_dict(frozen)} if frozen else {}


EVERYTHING = Phase()


def join(trained: Any, rest: Any) -> Any:
    """The parameters that `Phase.split` parted."""
    if not rest:
        return trained
    return unflatten_dict(flatten_dict(trained) | flatten_dict(rest))


@dataclass(frozen=True)
class Plan:
    """How each parameter is trained, by its path, in the network's order."""

    parts: Mapping[Path, Part]

    @property
    def starts(self) -> tuple[int, ...]:
        """The steps after which more parameters are trained than before."""
        return tuple(sorted({p.start for p in self.parts.values() if p.start}))

    def phase(self, step: int) -> Phase:
        """What is trained after `step` steps."""
        trained = {
            path
            for path, part in self.parts.items()
            if part.start is not None and part.start <= step
        }
        return Phase(frozenset(trained), frozenset(self.parts.keys() - trained))

    def ever(self) -> Phase:
        """What is trained at some time: what the optimizer has memory for."""
        return self.phase(max(self.starts, default=0))

    def groups(self) -> dict[Part, str]:
        """Names for the ways in which parameters are trained."""
        found = dict.fromkeys(p for p in self.parts.values() if p.start is not None)
        return {part: str(number) for number, part in enumerate(found)}


def make(
    known: Callable[[], Sequence[Path]],
    *,
    train_only: str | None = None,
    freeze: str | None = None,
    unfreeze: tuple[str, ...] = (),
    unfreeze_every: Duration = 0,
    layer_decay: Share = 1.0,
) -> Plan | None:
    """What the options ask for; None: every parameter is trained alike.

    Args:
      known: returns the paths of the parameters, in the network's order.
      train_only: a pattern: all that is trained.
      freeze: a pattern: what is not trained, of what `train_only` leaves.
      unfreeze: patterns: what is frozen at first, group after group.
      unfreeze_every: length of the time until the first group is trained too, then the
        second and so on (Howard and Ruder 2018, section 3.3).
      layer_decay: the last of the network's parts has the whole learning rate, the one
        before it this share of it, and so on (Clark et al. 2020; Bao et al. 2022).

    Raises:
      UserError: a pattern that is no regular expression or matches nothing, nothing to
        train, or a value without meaning.
    """
    if not (train_only or freeze or unfreeze or unfreeze_every or layer_decay != 1):
        return None
    if bool(unfreeze) != bool(unfreeze_every):
        raise UserError(
            "config.optimizer.unfreeze names what is trained later, and "
            "config.optimizer.unfreeze_every_steps (or _epochs) how much: set both."
        )
    paths = known()
    starts: dict[Path, int | None] = dict.fromkeys(paths, 0)
    if train_only:
        chosen = matching("train_only", train_only, paths)
        starts |= dict.fromkeys(set(paths) - chosen)
    if freeze:
        starts |= dict.fromkeys(matching("freeze", freeze, paths))
    for number, pattern in enumerate(unfreeze, start=1):
        chosen = matching("unfreeze", pattern, paths)
        starts |= dict.fromkeys(chosen, number * unfreeze_every)
    if all(start is None for start in starts.values()):
        raise UserError(
            "config.optimizer.train_only and .freeze leave no parameter to train."
        )
    depths = _depths(paths)
    last = max(depths.values())
    rates = {module: layer_decay ** (last - depth) for module, depth in depths.items()}
    return Plan({path: Part(starts[path], rates[path[0]]) for path in paths})


def _depths(paths: Sequence[Path]) -> dict[str, int]:
    """How many parts come before each; a normalization is one with what it follows."""
    depths: dict[str, int] = {}
    for module in dict.fromkeys(path[0] for path in paths):
        names = {path[-1] for path in paths if path[0] == module}
        before = max(depths.values(), default=-1)
        depths[module] = max(before + ("kernel" in names), 0)
    return depths


def kept(
    variables: Mapping[str, Any],
    known: Sequence[Path],
    *,
    reinitialize: str | None = None,
) -> Mapping[str, Any]:
    """The variables of a file without those that the run draws anew.

    Args:
      variables: nested dicts by collection.
      known: the paths of all parameters of the network.
      reinitialize: a pattern: what starts from the seed though the file has it.

    Raises:
      UserError: as `matching`.
    """
    if reinitialize is None:
        return variables
    flat = flatten_dict(variables)
    paths = [*known, *(path[1:] for path in flat)]
    drawn = matching("reinitialize", reinitialize, paths)
    return unflatten_dict({k: v for k, v in flat.items() if k[1:] not in drawn})


def matching(option: str, pattern: str, paths: Sequence[Path]) -> set[Path]:
    """The paths that the pattern of an option of the optimizer's means.

    Raises:
      UserError: it is no regular expression, or matches none.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(
            f"config.optimizer.{option}={pattern} is no regular expression: {error}."
        ) from error
    found = {
        path
        for path in paths
        if any(
            compiled.fullmatch("/".join(path[:depth]))
            for depth in range(1, len(path) + 1)
        )
    }
    if not found:
        modules = ", ".join(dict.fromkeys(path[0] for path in paths))
        raise UserError(
            f"config.optimizer.{option}={pattern} matches no parameter. The network's "
            f"parts are: {modules}."
        )
    return found


def shapes_of(
    model: nn.Module, image_shape: tuple[int, ...]
) -> dict[Path, tuple[int, ...]]:
    """The parameters' shapes by path, in the order in which the network makes them."""
    order: list[Path] = []

    def init(images: Any) -> Any:
        params = flatten_dict(
            model.init(jax.random.key(0), images, train=False)["params"]
        )
        order.extend(params)
        return params

    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    found = jax.eval_shape(init, images)
    return {path: found[path].shape for path in order}


def table(
    shapes: Mapping[Path, tuple[int, ...]],
    plan: Plan | None,
    loaded: Collection[Path] | None,
) -> str:
    """The network's parts: what they start from, and what is trained of them.

    Args:
      loaded: the parameters that start from a file; None: there is none.
    """
    parts = plan.parts if plan else dict.fromkeys(shapes, Part())
    rows, sums = [], Counter[str]()
    for module in dict.fromkeys(path[0] for path in shapes):
        counts: Counter[str] = Counter()
        inside = [path for path in shapes if path[0] == module]
        for path in inside:
            size = math.prod(shapes[path])
            counts["all"] += size
            counts["loaded"] += size * (path in (loaded or ()))
            counts["trained"] += size * (parts[path].start is not None)
        sums += counts
        ways = {parts[path] for path in inside}
        starts = {way.start for way in ways if way.start is not None}
        rates = {way.rate for way in ways if way.start is not None}
        rows.append(
            [
                module,
                *_counts(counts, loaded),
                ", ".join(f"{start:,}" for start in sorted(starts)),
                ", ".join(f"{rate:.3g}" for rate in sorted(rates)),
            ]
        )
    rows.append(["all", *_counts(sums, loaded), "", ""])
    headers = ["part", "parameters", "trained", "from step", "learning rate x"]
    if loaded is not None:
        headers.insert(2, "from the file")
    return tabulate(
        rows,
        headers,
        "simple",
        disable_numparse=True,
        colalign=("left", *["right"] * (len(headers) - 1)),
    )


def _counts(counts: Mapping[str, int], loaded: Collection[Path] | None) -> list[str]:
    keys = ["all", *(["loaded"] if loaded is not None else []), "trained"]
    return [f"{counts[key]:,}" for key in keys]
