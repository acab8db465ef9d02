"""Batches of a split. Each batch is a pure function of the seed and the step.

Training uses an endless sequence of positions p = 0, 1, 2, ... Step s uses the
positions s * batch_size to (s + 1) * batch_size - 1. A sampler selects the example at
each position; see `samplers`. With the default sampler, every epoch uses each example
once, no example is dropped, and a batch may contain examples of two epochs. A batch
depends neither on earlier batches nor on the number of hosts or worker processes. So a
resumed run needs only its step.
"""

from collections.abc import Generator, Iterable
from dataclasses import dataclass

import numpy as np

from cnn_jax.core import extras
from cnn_jax.core.errors import UserError
from cnn_jax.data import samplers, shared_memory
from cnn_jax.data.splits import Arrays, Split, Streamed, Varied
from cnn_jax.data.workers import in_workers

Batch = dict[str, np.ndarray]

CROP = 2  # a stream of random numbers; `samplers` has the others


def train_batches(
    split: Split,
    *,
    batch_size: int,
    seed: int,
    start_step: int,
    stop_step: int,
    workers: int = 0,
    shard: tuple[int, int] = (0, 1),
    sampler: str = samplers.UNIFORM,
    repeats: int = 1,
) -> Generator[Batch, None, None]:
    """Returns the training batches of the steps from `start_step` to `stop_step` - 1.

    A batch is {"image": uint8 [b, *image_shape], "label", "index", "epoch": int32 [b]}
    with b = batch_size / number of hosts. "index" is the index of the example in the
    split, and "epoch" the number of times that the sampler used it before. If a label
    is not one class, "label" has the shape [b, ...] and the type that
    `Arrays` states. If the split has features, the batch also has "features". Close the
    generator to end the workers early.

    Args:
      batch_size: the number of examples per step on all hosts together.
      seed: the seed of the order of the examples and of the random crops; not negative.
      start_step: the first step.
      stop_step: the step after the last one.
      workers: the number of processes that load examples; 0: this process loads the
        examples. It is ignored for a split in memory.
      shard: (index of this host, number of hosts). Each host gets consecutive rows of
        the batch.
      sampler: the name of the sampler; see `samplers.make`.
      repeats: how many times a batch has each of its examples; see `samplers.Repeated`.

    Raises:
      UserError: the batch size is not divisible by the number of hosts or repeats, or
        the seed is negative.
    """
    if seed < 0:
        raise UserError(f"the seed is {seed}; it must not be negative.")
    chosen = samplers.make(sampler, split, seed)
    if repeats > 1:
        chosen = samplers.Repeated(chosen, batch_size, repeats)
    make = _TrainBatch(split, batch_size, seed, _rows(batch_size, shard), chosen)
    return _run(make, start_step, stop_step, workers)


def eval_batches(
    split: Split,
    *,
    batch_size: int,
    workers: int = 0,
    shard: tuple[int, int] = (0, 1),
    devices: int = 1,
) -> Generator[Batch, None, None]:
    """Returns batches with every example of a split exactly once, over all hosts.

    The examples are in the order of the split. A batch is {"image", "label", "index",
    "mask": float32 [b]}, as in `train_batches`. The mask is 1 for examples and 0 for
    padding. The last batch is padded with black images of label 0 and index -1, so all
    batches have one shape, and all hosts get the same number of batches. Batches of
    clips also have "video": int32 [b], the index of the video of each clip.

    The images of a `Varied` split have different sizes. So a batch has only one of
    these images, on the first device of the first host. The rows of all other devices
    are padding.

    Args:
      batch_size, workers, shard: see `train_batches`.
      devices: the number of rows in a batch of a `Varied` split, one for each device of
        this host.
    """
    if isinstance(split, Varied):
        return (_one(split, i, devices, shard[0]) for i in range(len(split)))
    make = _EvalBatch(split, batch_size, _rows(batch_size, shard))
    return _run(make, 0, -(-len(split) // batch_size), workers)


@dataclass(frozen=True)
class _TrainBatch:
    split: Split
    batch_size: int
    seed: int
    rows: range
    sampler: samplers.Sampler

    def __call__(self, step: int) -> Batch:
        first = int(step) * self.batch_size
        epoch, index = self.sampler(
            np.arange(first + self.rows.start, first + self.rows.stop)
        )
        batch = _gather(self.split, index, (self.seed, epoch))
        return {**batch, "epoch": epoch.astype(np.int32)}


@dataclass(frozen=True)
class _EvalBatch:
    split: Split
    batch_size: int
    rows: range

    def __call__(self, step: int) -> Batch:
        first = int(step) * self.batch_size
        index = np.arange(first + self.rows.start, first + self.rows.stop)
        real = int(np.sum(index < len(self.split)))
        batch = _gather(self.split, index[:real])
        missing = len(index) - real
        padded = {
            key: np.concatenate([value, np.zeros((missing, *value.shape[1:]), t)])
            for key, value in batch.items()
            for t in [value.dtype]
        }
        padded["index"][real:] = -1
        return {**padded, "mask": (np.arange(len(index)) < real).astype(np.float32)}


def examples(split: Split, index: np.ndarray) -> Batch:
    """Returns the batch of some examples of a split, as evaluation sees them.

    Args:
      index: the indices of the examples in the split.
    """
    return _gather(split, index)


def _one(split: Varied, index: int, devices: int, host: int) -> Batch:
    """Returns the batch of one image of a `Varied` split.

    Args:
      index: the index of the image.
      devices: the number of rows in the batch.
      host: the index of this host.
    """
    mask = (np.arange(devices) == 0) & (host == 0)
    (example,) = split.examples([index], [None])
    return {
        **{key: np.stack([value] * devices) for key, value in example.items()},
        "index": np.where(mask, index, -1).astype(np.int32),
        "mask": mask.astype(np.float32),
    }


def _gather(
    split: Split, index: np.ndarray, training: tuple[int, np.ndarray] | None = None
) -> Batch:
    """Returns the batch of some examples: their images, labels and indices.

    Args:
      index: the indices of the examples in the split.
      training: the seed of the run and the epoch of each example; None in evaluation.
    """
    more = {}
    if isinstance(split, Arrays):
        images, labels = split.images[index], split.labels[index]
        if split.features is not None:
            more["features"] = split.features[index]
    else:
        images, labels = _made(split, index, training)
        if training is None and split.clips_per_video is not None:
            more["video"] = (index // split.clips_per_video).astype(np.int32)
    return {"image": images, "label": labels, "index": index.astype(np.int32), **more}


def _made(
    split: Streamed, index: np.ndarray, training: tuple[int, np.ndarray] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images and labels of some examples of a split on demand.

    The split is not in memory, so each example is made when it is needed.

    Args:
      index: the indices of the examples in the split.
      training: the seed of the run and the epoch of each example; None in evaluation.
    """
    images = np.empty((len(index), *split.image_shape), split.image_type)
    labels = np.empty((len(index), *split.label_shape), split.label_type)
    rngs: list[np.random.Generator | None] = [None] * len(index)
    if training and split.random_crop:  # making generators is slow
        seed, epoch = training
        ids = zip(epoch.tolist(), index.tolist(), strict=True)
        rngs = [np.random.default_rng([CROP, seed, e, i]) for e, i in ids]
    for row, example in enumerate(split.examples(index, rngs)):
        images[row], labels[row] = example["image"], example["label"]
    if not split.label_shape and labels.min(initial=0) < 0:
        raise UserError(
            "an example has no label (its label is -1): choose another split of the "
            "data set."
        )
    return images, labels


def _rows(batch_size: int, shard: tuple[int, int]) -> range:
    host, hosts = shard
    if batch_size < 1 or batch_size % hosts:
        raise UserError(
            f"the batch size, {batch_size}, must be a positive multiple of the "
            f"number of hosts, {hosts}."
        )
    size = batch_size // hosts
    return range(host * size, (host + 1) * size)


def check_workers(splits: Iterable[Split], workers: int) -> None:
    """Raises `UserError` if a split needs worker processes, but grain is not installed.

    Args:
      splits: the splits of the data set.
      workers: the number of worker processes in the config.
    """
    if workers and any(not isinstance(split, Arrays) for split in splits):
        extras.check("grain", "input", "config.data.workers")


def _run(
    make: _TrainBatch | _EvalBatch, start: int, stop: int, workers: int
) -> Generator[Batch, None, None]:
    if workers < 0:
        raise UserError(f"data.workers is {workers}; it must not be negative.")
    if workers and not isinstance(make.split, Arrays):
        # A start after a kill removes leftover shared memory, even if no step is left.
        shared_memory.claim()
        if workers := min(workers, max(0, stop - start)):
            return in_workers(make, start, stop, workers)
    return (make(step) for step in range(start, stop))
