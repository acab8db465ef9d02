"""Samplers: pure functions of the seed and the position."""

import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn_jax.core.errors import UserError
from cnn_jax.data import samplers
from cnn_jax.data.loading import train_batches
from cnn_jax.data.splits import Arrays, Records
from tests.made import Unlisted

seeds = st.integers(0, 2**31)
# The class of each example; -1 is an example without a class.
labelings = st.lists(st.integers(-1, 4), min_size=1, max_size=30).filter(
    lambda labels: max(labels) >= 0
)


def split_of(labels):
    images = np.zeros((len(labels), 2, 2, 1), np.uint8)
    return Arrays(images, np.array(labels, np.int32))


def drawn(name, labels, seed, positions):
    return samplers.make(name, split_of(labels), seed)(np.asarray(positions))


@given(labelings, seeds)
def test_each_class_is_equally_frequent(labels, seed):
    classes = {label for label in labels if label >= 0}
    blocks = 7
    _, index = drawn("balanced", labels, seed, range(blocks * len(classes)))
    found = np.array(labels)[index].reshape(blocks, -1)
    assert all(set(block) == classes for block in found.tolist())


@given(labelings, seeds)
def test_examples_of_a_class_are_equally_frequent(labels, seed):
    cycle, index = drawn("balanced", labels, seed, range(300))
    uses = Counter(index.tolist())
    for label in {*labels} - {-1}:
        members = [i for i, each in enumerate(labels) if each == label]
        counts = [uses[i] for i in members]
        assert max(counts) - min(counts) <= 1
    assert all(labels[i] >= 0 for i in uses)
    # The cycle counts the uses of an example.
    for i in uses:
        own = cycle[index == i]
        np.testing.assert_array_equal(own, np.arange(len(own)))


@given(labelings, seeds, st.integers(0, 100), st.integers(1, 20))
def test_positions_do_not_depend_on_each_other(labels, seed, first, count):
    for name in samplers.SAMPLERS:
        whole = drawn(name, labels, seed, range(first + count))
        rest = drawn(name, labels, seed, range(first, first + count))
        one = [drawn(name, labels, seed, [first + i]) for i in range(count)]
        for number in range(2):
            np.testing.assert_array_equal(whole[number][first:], rest[number])
            joined = np.concatenate([each[number] for each in one])
            np.testing.assert_array_equal(joined, rest[number])


@given(labelings, seeds, st.integers(1, 4))
def test_hosts_streams_and_workers_get_the_same_batch(labels, seed, hosts):
    options = {"batch_size": 2 * hosts, "seed": seed, "sampler": "balanced"}
    options |= {"start_step": 3, "stop_step": 5}
    split = split_of(labels)
    whole = list(train_batches(split, **options))
    parts = [
        list(train_batches(split, shard=(h, hosts), **options)) for h in range(hosts)
    ]
    for step, batch in enumerate(whole):
        for key in ("index", "epoch", "label"):
            joined = np.concatenate([part[step][key] for part in parts])
            np.testing.assert_array_equal(batch[key], joined)
            assert batch[key].dtype == np.int32


def test_seeds_and_cycles_have_orders_of_their_own():
    labels = [0] * 30 + [1] * 20
    orders = [drawn("balanced", labels, seed, range(60))[1] for seed in (0, 1)]
    assert (orders[0] != orders[1]).any()
    cycle, index = drawn("balanced", labels, 0, range(80))
    rare = index >= 30
    first, second = (index[rare & (cycle == number)] for number in (0, 1))
    assert len(first) == len(second) == 20 and (first != second).any()


def test_the_order_of_many_classes():
    """Several parts of orders that are made together, or many classes."""
    for classes in (3, samplers.TOGETHER + 1):
        labels = np.arange(classes)
        blocks = 2 * samplers.TOGETHER // classes + 2
        _, index = drawn("balanced", labels, 0, range(blocks * classes))
        orders = index.reshape(blocks, classes)
        assert (np.sort(orders, axis=1) == labels).all()
        assert len(np.unique(orders, axis=0)) == min(blocks, 6)


def test_a_sampler_can_be_sent_to_workers():
    sampler = samplers.make("balanced", split_of([0, 1, 1]), 5)
    other = pickle.loads(pickle.dumps(sampler))
    positions = np.arange(9)
    np.testing.assert_array_equal(sampler(positions), other(positions))


def backward(split, seed):
    """A sampler that takes the examples from last to first."""
    return lambda positions: (positions // len(split), -1 - positions % len(split))


def test_a_sampler_by_its_import_path():
    sampler = samplers.make(f"{__name__}.backward", split_of([0, 1, 2]))
    assert sampler(np.arange(4))[1].tolist() == [-1, -2, -3, -1]


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        (
            "balanced",
            Records(Unlisted(), (2, 2, 1)),
            "needs the class of each training",
        ),
        (
            "balance",
            split_of([0]),
            "unknown sampler 'balance'. Did you mean 'balanced'",
        ),
    ],
)
def test_mistakes(name, split, message):
    with pytest.raises(UserError, match=message):
        samplers.make(name, split)


@given(st.integers(1, 20), st.integers(1, 4), st.integers(1, 4), seeds)
def test_repeats_of_each_example_in_a_batch(count, different, repeats, seed):
    size, steps = different * repeats, 6
    split = split_of([0] * count)
    plain = samplers.make("uniform", split, seed)
    sampler = samplers.Repeated(plain, size, repeats)
    epoch, index = sampler(np.arange(size * steps))
    # Each batch has the examples of a smaller batch of the other sampler.
    expected = plain(np.arange(different * steps))[1].reshape(steps, 1, different)
    found = index.reshape(steps, repeats, different)
    np.testing.assert_array_equal(found, np.broadcast_to(expected, found.shape))
    # The epoch counts the uses, so no two uses have the same random changes.
    for example in np.unique(index):
        own = epoch[index == example]
        np.testing.assert_array_equal(np.sort(own), np.arange(len(own)))


def test_a_batch_that_cannot_hold_the_repeats():
    samplers.check_repeats(12, 3)
    with pytest.raises(UserError, match=r"repeats=5 does not divide config.data.batch"):
        samplers.Repeated(samplers.make("uniform", split_of([0])), 12, 5)


def test_batches_with_repeats():
    images = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1)
    split = Arrays(images, np.zeros(6, np.int32))
    options = {"batch_size": 4, "seed": 0, "start_step": 0, "stop_step": 3}
    for batch in train_batches(split, **options, repeats=2):
        np.testing.assert_array_equal(batch["index"][:2], batch["index"][2:])
        np.testing.assert_array_equal(batch["epoch"], [0, 0, 1, 1])
