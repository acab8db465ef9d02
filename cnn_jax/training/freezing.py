"""How each parameter is trained: freezing, gradual unfreezing, learning rates, groups.

A pattern is a regular expression for the path of a module or of a parameter, such as
`head`, `layer4/.*` or `.*/bias`. If the path of a module matches, the pattern selects
all parameters in the module.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from cnn_jax import layers
from cnn_jax.core.errors import UserError
from cnn_jax.core.ranges import Share
from cnn_jax.training import parameter_groups
from cnn_jax.training.config import Duration
from cnn_jax.training.weight_decay import NOT_DECAYED

Path = tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """How a parameter is trained.

    Attributes:
      start: the step from which the parameter is trained; None if the parameter is
        always frozen.
      rate: the factor by which the learning rate is multiplied for this parameter.
      weight_decay: the weight decay of the optimizer; None: the optimizer's own.
    """

    start: int | None = 0
    rate: float = 1.0
    weight_decay: float | None = None

    def with_options(self, options: parameter_groups.Options) -> "Part":
        """Returns how the parameter is trained in a group with these options."""
        start = self.start
        if options.frozen is not None:
            start = None if options.frozen else start or 0
        factor = options.learning_rate_factor
        return Part(
            start,
            self.rate if factor is None else self.rate * factor,
            self.weight_decay if options.weight_decay is None else options.weight_decay,
        )


@dataclass(frozen=True)
class Phase:
    """Which parameters are trained and which are frozen between two steps of a run.

    Attributes:
      trained: the paths of the trained parameters.
      resting: the paths of the frozen parameters.
    """

    trained: frozenset[Path] = frozenset()
    resting: frozenset[Path] = frozenset()

    def split(self, params: Any) -> tuple[Any, Any]:
        """Returns two trees: the trained parameters, and the frozen parameters."""
        if not self.resting:
            return params, {}
        flat = flatten_dict(params)
        rest = {path: flat.pop(path) for path in self.resting}
        return unflatten_dict(flat), unflatten_dict(rest)

    def rests(self, module: Path) -> bool:
        """Returns whether a module is frozen: no parameter in the module is trained.

        A module without parameters is frozen if the module that contains it is frozen.
        """
        for depth in range(len(module), 0, -1):
            if any(path[:depth] == module[:depth] for path in self.trained):
                return False
            if any(path[:depth] == module[:depth] for path in self.resting):
                return True
        return False

    def keep(self, new: Any, old: Any) -> Any:
        """Returns the `new` variables, but the `old` variables of frozen modules."""
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
        """Returns variables that make frozen layers use their running statistics.

        The result is a collection with a flag for each frozen normalization layer. It
        is passed to `model.apply` with the other variables. The result is {} if no
        layer is frozen.

        Args:
          batch_stats: the running statistics of the network.
        """
        collection, entry = layers.FROZEN
        modules = {path[:-1] for path in flatten_dict(batch_stats)}
        frozen = {(*m, entry): True for m in modules if self.rests(m)}
        return {collection: unflatten_dict(frozen)} if frozen else {}


EVERYTHING = Phase()


def join(trained: Any, rest: Any) -> Any:
    """Returns one tree of the trained and the frozen parameters; undoes
    `Phase.split`."""
    if not rest:
        return trained
    return unflatten_dict(flatten_dict(trained) | flatten_dict(rest))


@dataclass(frozen=True)
class Plan:
    """How each parameter of a network is trained.

    Attributes:
      parts: a `Part` for the path of each parameter, in the network's order.
    """

    parts: Mapping[Path, Part]

    @property
    def starts(self) -> tuple[int, ...]:
        """The steps at which frozen parameters become trained."""
        return tuple(sorted({p.start for p in self.parts.values() if p.start}))

    def phase(self, step: int) -> Phase:
        """Returns the trained and frozen parameters after `step` steps."""
        trained = {
            path
            for path, part in self.parts.items()
            if part.start is not None and part.start <= step
        }
        return Phase(frozenset(trained), frozenset(self.parts.keys() - trained))

    def ever(self) -> Phase:
        """Returns the phase in which all parameters that are ever trained are trained.

        These parameters need optimizer state.
        """
        return self.phase(max(self.starts, default=0))

    def groups(self) -> dict[Part, str]:
        """Returns a name for each group of parameters that are trained alike.

        All parameters of a group have the same `Part`. Parameters that are always
        frozen have no group.
        """
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
    groups: tuple[str, ...] = (),
) -> Plan | None:
    """Returns the plan: how each parameter is trained.

    The result is None if all parameters are trained in the same way.

    Args:
      known: a function that returns the paths of all parameters, in the network's
        order.
      train_only: a pattern for the parameters to train; all other parameters are
        frozen.
      freeze: a pattern for parameters to freeze.
      unfreeze: patterns for groups of parameters that are frozen when training starts
        and trained later, one group after the other (gradual unfreezing: Howard and
        Ruder 2018, section 3.3).
      unfreeze_every: the duration from the start of training until the first group of
        `unfreeze` is trained, and from each group to the next group.
      layer_decay: the learning rate of each part of the network is the learning rate of
        the next part, multiplied by this factor (Clark et al. 2020; Bao et al. 2022).
        The last part has the full learning rate. A part is a top-level module with a
        kernel.
      groups: patterns with options for the parameters that match, such as
        `head: learning_rate_factor=10.0; conv1/.*: frozen=True`. The options are
        `learning_rate_factor`, `weight_decay` and `frozen`. If two groups of a
        parameter set the same option, the later group counts; factors of the learning
        rate are multiplied.

    Raises:
      UserError: if a pattern is not a regular expression or matches nothing, if no
        parameter is left to train, if only one of `unfreeze` and `unfreeze_every` is
        set, or if a group with a weight decay has no parameters that decay.
    """
    changed = train_only or freeze or unfreeze or unfreeze_every or groups
    if not changed and layer_decay == 1:
        return None
    if bool(unfreeze) != bool(unfreeze_every):
        raise UserError(
            "config.optimizer.unfreeze names the parameters to train later, and "
            "config.optimizer.unfreeze_every_steps (or _epochs) says when: set both."
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
    depths = _depths(paths)
    last = max(depths.values())
    rates = {module: layer_decay ** (last - depth) for module, depth in depths.items()}
    parts = {path: Part(starts[path], rates[path[0]]) for path in paths}
    for entry in groups:
        pattern, options = parameter_groups.parsed(entry)
        chosen = matching("groups", pattern, paths)
        if options.weight_decay and all(path[-1] in NOT_DECAYED for path in chosen):
            raise UserError(
                f"config.optimizer.groups has the entry '{entry}', but weight decay "
                "does not apply to biases and normalization: leave out weight_decay."
            )
        parts |= {path: parts[path].with_options(options) for path in chosen}
    if all(part.start is None for part in parts.values()):
        raise UserError(
            "config.optimizer.train_only, config.optimizer.freeze and "
            "config.optimizer.groups leave no parameter to train: freeze fewer "
            "parameters."
        )
    return Plan(parts)


def _depths(paths: Sequence[Path]) -> dict[str, int]:
    """Returns the depth of each top-level module of the network.

    The depth is the number of earlier modules that have a kernel. A module without a
    kernel, such as a normalization, has the depth of the module before it.
    """
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
    """Returns a file's variables without the variables that the run draws at random.

    Args:
      variables: the file's variables: nested dicts, the outermost by collection.
      known: the paths of all parameters of the network.
      reinitialize: a pattern for the parameters that the run draws from its seed,
        instead of taking them from the file; None: no parameters.

    Raises:
      UserError: if the pattern is not a regular expression, or matches no path.
    """
    if reinitialize is None:
        return variables
    flat = flatten_dict(variables)
    paths = [*known, *(path[1:] for path in flat)]
    drawn = matching("reinitialize", reinitialize, paths)
    return unflatten_dict({k: v for k, v in flat.items() if k[1:] not in drawn})


def matching(option: str, pattern: str, paths: Sequence[Path]) -> set[Path]:
    """Returns the paths that match a pattern.

    Args:
      option: the config key of the pattern, for errors: `config.optimizer.<option>`.
      pattern: a regular expression for the path of a parameter, or of a module that
        contains the parameter.
      paths: the paths of parameters.

    Raises:
      UserError: if the pattern is not a regular expression, or matches no path.
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
        names = ["/".join(path[:d]) for path in paths for d in range(1, len(path) + 1)]
        near = difflib.get_close_matches(pattern, dict.fromkeys(names), n=3, cutoff=0.6)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UserError(
            f"config.optimizer.{option}={pattern} matches no parameter.{hint} The "
            f"network's modules are: {modules}."
        )
    return found


def shapes_of(
    model: nn.Module, image_shape: tuple[int, ...]
) -> dict[Path, tuple[int, ...]]:
    """Returns the shape of each parameter by its path, in the network's order."""
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
