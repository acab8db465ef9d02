"""The facts about the machine that a run records."""

import builtins
import io
import json
import os
import platform
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from cnn_jax.core import memory
from cnn_jax.core.errors import UserError
from cnn_jax.training import machine
from cnn_jax.training.config import Config

CPUINFO = "processor\t: 0\nmodel name\t: AMD EPYC: 7B12\nmodel name\t: another\n"


@pytest.fixture
def cpuinfo(monkeypatch):
    """`cpuinfo(text)`: what Linux says of its processors; None: there is no Linux."""

    def replace(text):
        original = builtins.open

        def opened(path, *args, **kwargs):
            if path != "/proc/cpuinfo":
                return original(path, *args, **kwargs)
            if text is None:
                raise FileNotFoundError(path)
            return io.StringIO(text)

        monkeypatch.setattr(builtins, "open", opened)

    return replace


def test_a_description_is_json_of_jaxs_devices():
    found = json.loads(json.dumps(machine.description()))
    assert found["platform"] == jax.devices()[0].platform == "cpu"
    assert found["count"] == len(jax.devices())
    assert found["kind"] == jax.devices()[0].device_kind
    assert found["processor"] and found["cores"] == machine.cores()


def test_the_processor_has_its_makers_name(cpuinfo):
    cpuinfo(CPUINFO)
    assert machine.description()["processor"] == "AMD EPYC: 7B12"


@pytest.mark.parametrize("text", [None, "processor\t: 0\n"])
def test_a_processor_that_linux_does_not_name(text, cpuinfo, monkeypatch):
    cpuinfo(text)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert machine.description()["processor"] == "arm64"


@pytest.mark.parametrize(("cores", "words"), [(1, "1 core of"), (2, "2 cores of")])
def test_a_description_in_words(cores, words):
    found = {"count": 1, "kind": "cpu", "cores": cores, "processor": "AMD EPYC"}
    assert machine.text(found) == f"1 x cpu; {words} AMD EPYC"


def test_only_the_processors_that_may_be_used_count(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7}, raising=False)
    assert machine.cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert machine.cores() == 12
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.cores() == 1


def test_memory_where_the_backend_counts_it_and_where_not(monkeypatch):
    def device(stats):
        devices = [SimpleNamespace(memory_stats=lambda: stats)]
        monkeypatch.setattr(jax, "local_devices", lambda: devices)

    device({"peak_bytes_in_use": 123, "bytes_in_use": 4})
    assert machine.peak_memory() == 123
    device(None)
    assert machine.memory_stats() == {} and machine.peak_memory() is None


def test_a_state_or_a_batch_of_no_machine_is_refused(monkeypatch):
    def config(**sizes):
        groups = {"data": 8, "eval": None} | sizes
        return Config({name: {"batch_size": size} for name, size in groups.items()})

    state = {"a": jax.ShapeDtypeStruct((2**20, 2**10), "float32")}
    monkeypatch.setattr(memory, "total", lambda: 2**30)
    machine.check_memory(config(), (8, 8, 1), np.dtype("uint8"), {})
    with pytest.raises(UserError, match=r"parameters .* would take 4\.0 GiB"):
        machine.check_memory(config(), (8, 8, 1), np.dtype("uint8"), state)
    for group in ("data", "eval"):
        large = config(**{group: 10**9})
        words = rf"1,000,000,000 .* set config\.{group}\.batch_size"
        with pytest.raises(UserError, match=words):
            machine.check_memory(large, (8, 8, 1), np.dtype("uint8"), {})
