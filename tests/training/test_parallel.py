"""Batches on their way to the devices and back."""

import itertools

import jax
import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.training import parallel
from cnn_jax.training.config import Config


@pytest.mark.parametrize(
    ("size", "devices", "nearest"),
    [(7, 2, 8), (9, 8, 8), (1, 8, 8), (100, 8, 96), (3, 2, 4)],
)
def test_a_batch_that_the_devices_do_not_divide(size, devices, nearest, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: devices)
    with pytest.raises(UserError) as error:
        parallel.check_batch_size("data.batch_size", size)
    assert str(error.value) == (
        f"config.data.batch_size={size} cannot be split evenly over {devices} "
        f"devices: set a multiple of {devices}, such as {nearest}."
    )
    parallel.check_batch_size("data.batch_size", nearest)


@pytest.mark.parametrize("size", [0, -8])
def test_an_empty_batch(size):
    with pytest.raises(UserError, match=f"config.eval.batch_size={size} must be"):
        parallel.check_batch_size("eval.batch_size", size)


@pytest.mark.parametrize("key", ["data.batch_size", "eval.batch_size"])
def test_devices_share_each_batch_of_a_config(key, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 4)
    sizes = {"data.batch_size": 8, "eval.batch_size": None}

    def config(sizes):
        groups = ("data", "eval")
        return Config({g: {"batch_size": sizes[f"{g}.batch_size"]} for g in groups})

    parallel.check_batch_sizes(config(sizes))
    with pytest.raises(UserError, match=f"config.{key}=6 cannot be split .* 4 devices"):
        parallel.check_batch_sizes(config(sizes | {key: 6}))


@pytest.mark.parametrize(
    ("size", "parts", "nearest"), [(12, 5, 4), (12, 8, 6), (8, 3, 2), (4, 64, 4)]
)
def test_parts_that_do_not_divide_a_batch(size, parts, nearest, monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 2)

    def config(parts):
        groups = {"data": {"batch_size": 2 * size}, "train": {"accumulate": parts}}
        return Config(groups)

    with pytest.raises(UserError) as error:
        parallel.check_parts(config(parts))
    assert str(error.value) == (
        f"config.train.accumulate={parts} does not divide the {size} examples of each "
        f"device into equal parts: set a divisor of {size}, such as {nearest}."
    )
    parallel.check_parts(config(nearest))
    parallel.check_parts(config("auto"))
    with pytest.raises(UserError, match="accumulate=all must be a number, or 'auto'"):
        parallel.check_parts(config("all"))


def test_rows_come_back_as_they_went():
    batch = {
        "image": np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2, 1),
        "label": np.arange(6, dtype=np.int32),
    }
    on_devices = parallel.put_batch(batch)
    devices = jax.local_device_count()
    assert on_devices["image"].shape == (devices, 6 // devices, 2, 2, 1)
    back = parallel.take_rows(on_devices)
    for key, value in batch.items():
        np.testing.assert_array_equal(back[key], value)
        assert back[key].dtype == value.dtype


def batches(count):
    for number in range(count):
        yield {"label": np.full(2, number, np.int32)}


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_prefetching_keeps_every_batch_and_the_order(count):
    found = list(parallel.prefetch(batches(count)))
    assert [int(host["label"][0]) for host, _ in found] == list(range(count))
    for host, on_devices in found:
        np.testing.assert_array_equal(
            parallel.take_rows(on_devices)["label"], host["label"]
        )


def test_prefetching_runs_ahead_by_two_and_no_further():
    drawn = itertools.count()
    last = -1

    def counted():
        nonlocal last
        for batch in batches(10):
            last = next(drawn)
            yield batch

    stream = parallel.prefetch(counted(), size=2)
    next(stream)
    assert last == 1
    next(stream)
    assert last == 2


def test_replicated_values_are_one_array_a_leaf():
    tree = {"a": np.arange(3.0, dtype=np.float32), "step": np.int32(4)}
    found = parallel.replicate(tree)
    assert found["a"].shape == (3,) and found["a"].is_fully_replicated
    np.testing.assert_array_equal(found["a"], tree["a"])
    assert parallel.to_local(parallel.to_global(found)) is found


def test_one_host_stops_when_it_is_told_to():
    assert parallel.any_host(True, 3) and not parallel.any_host(False, 3)
    assert parallel.is_main_host() and parallel.host_shard() == (0, 1)
