"""Samplers: the training example at each position of the endless training sequence.

A sampler is a pure function of the run's seed and of positions p = 0, 1, 2, ... It
returns the epoch and the index of the example at each position. No pair of an epoch and
an index occurs twice, so an example gets new random changes each time it is used.
"""

import functools
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Int

from cnn_jax.core import imports
from cnn_jax.core.errors import UserError
from cnn_jax.data.splits import Split

Positions = Int[np.ndarray, " n"]
Sampler = Callable[[Positions], tuple[Positions, Positions]]

# Streams of random numbers. They come first in a seed, because NumPy ignores trailing
# zeros. `loading` has the stream 2.
ORDER, CLASSES, MEMBERS = 1, 3, 4
# The number of classes that are put in order together, to make fewer generators.
TOGETHER = 4096


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([ORDER, seed, epoch]).permutation(count)


class Uniform:
    """Uses each example once in each epoch, in a random order.

        epoch = p // n
        example = permutation(seed, epoch)[p % n]

    Here n is the number of examples.
    """

    def __init__(self, split: Split, seed: int):
        self._seed, self._count = seed, len(split)

    def __call__(self, positions: Positions) -> tuple[Positions, Positions]:
        """Returns the epoch and the index of the example at each position."""
        epoch, place = np.divmod(positions, self._count)
        index = np.empty_like(place)
        for e in np.unique(epoch):
            order = _permutation(self._seed, int(e), self._count)
            index[epoch == e] = order[place[epoch == e]]
        return epoch, index


class Balanced:
    """Uses each class equally often.

    With C classes, each block of C positions has one example of each class, in a random
    order. The examples of a class are used in cycles: a cycle has each example of the
    class once, in a random order. The number of the cycle is the epoch of the example,
    so examples of rare classes have larger epochs.

        block = p // C
        class c = permutation(seed, block)[p % C]
        cycle = block // (examples of class c)
        example = permutation(seed, c, cycle)[block % (examples of class c)]

    Raises:
      UserError: the class of each example is not known without reading it.
    """

    def __init__(self, split: Split, seed: int):
        labels = split.known_labels()
        if labels is None:
            raise UserError(
                "config.data.sampler=balanced needs the class of each training "
                "example, and the data do not list one class per example: set "
                "config.data.in_memory=true or config.data.sampler=uniform."
            )
        self._seed = seed
        order = np.argsort(labels, kind="stable")
        classes, starts = np.unique(labels[order], return_index=True)
        kept = classes >= 0  # an example without a class has -1
        self._members = [
            part
            for part, keep in zip(np.split(order, starts[1:]), kept, strict=True)
            if keep
        ]
        self._counts = np.array([len(part) for part in self._members])
        # The blocks and the cycles that were used last; only for speed.
        self._blocks: tuple[int, np.ndarray] | None = None
        self._cycles: dict[int, tuple[int, np.ndarray]] = {}

    def __call__(self, positions: Positions) -> tuple[Positions, Positions]:
        """Returns the cycle and the index of the example at each position."""
        block, place = np.divmod(positions, len(self._members))
        number = np.array(
            [
                self._order(b)[i]
                for b, i in zip(block.tolist(), place.tolist(), strict=True)
            ]
        )
        cycle, member = np.divmod(block, self._counts[number])
        rows = zip(number.tolist(), cycle.tolist(), member.tolist(), strict=True)
        index = np.array([self._cycle(c, e)[i] for c, e, i in rows])
        return cycle, index

    def _order(self, block: int) -> np.ndarray:
        """Returns the order of the classes in a block."""
        classes = len(self._members)
        together = max(1, TOGETHER // classes)
        part, row = divmod(block, together)
        if self._blocks is None or self._blocks[0] != part:
            rng = np.random.default_rng([CLASSES, self._seed, part])
            tiled = np.tile(np.arange(classes), (together, 1))
            self._blocks = part, rng.permuted(tiled, axis=1)
        return self._blocks[1][row]

    def _cycle(self, number: int, cycle: int) -> np.ndarray:
        """Returns the examples of a class in the order of a cycle."""
        known = self._cycles.get(number)
        if known is None or known[0] != cycle:
            rng = np.random.default_rng([MEMBERS, self._seed, number, cycle])
            known = cycle, rng.permutation(self._members[number])
            self._cycles[number] = known
        return known[1]


def check_repeats(batch_size: int, repeats: int) -> None:
    """Raises `UserError` unless a batch can hold each example `repeats` times."""
    if batch_size % repeats:
        raise UserError(
            f"config.data.repeats={repeats} does not divide "
            f"config.data.batch_size={batch_size}: set a batch size that is a multiple "
            f"of {repeats}."
        )


class Repeated:
    """Uses each example several times in a batch, with different random changes.

    This is batch augmentation, or repeated augmentation (Hoffer et al. 2020). A batch
    has batch_size / repeats examples of another sampler, one after another, and then
    the same examples again. The number of repetitions so far is the epoch of an
    example.
    """

    def __init__(self, sampler: Sampler, batch_size: int, repeats: int):
        check_repeats(batch_size, repeats)
        self._sampler, self._repeats = sampler, repeats
        self._different = batch_size // repeats

    def __call__(self, positions: Positions) -> tuple[Positions, Positions]:
        """Returns the epoch and the index of the example at each position."""
        rest, place = np.divmod(positions, self._different)
        step, repeat = np.divmod(rest, self._repeats)
        epoch, index = self._sampler(step * self._different + place)
        return epoch * self._repeats + repeat, index


UNIFORM = "uniform"
SAMPLERS: Mapping[str, Callable[[Split, int], Sampler]] = {
    UNIFORM: Uniform,
    "balanced": Balanced,
}


def make(name: str, split: Split, seed: int = 0) -> Sampler:
    """Returns the sampler of a training split.

    Args:
      name: a name in `SAMPLERS`, or the import path of a function or class that takes
        the split and the seed, and returns a sampler.
      split: the training split.
      seed: the seed of the run.

    Raises:
      UserError: there is no such sampler, or it cannot sample the split.
    """
    found = imports.find(
        "sampler", name, SAMPLERS, accepts=callable, wanted="a function or a class"
    )
    with imports.called("sampler", name):
        return found(split, seed)
