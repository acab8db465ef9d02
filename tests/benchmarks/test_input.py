"""The input pipeline is timed as training runs it, and beside the same pictures."""

import dataclasses
import json
import multiprocessing
import sys
import time

import pytest

from cnn_jax.benchmarks import input as inputs
from cnn_jax.benchmarks import measure, suite, tables, torch_input, torch_peer
from cnn_jax.benchmarks.peers import NoPeer
from cnn_jax.benchmarks.subject import Request
from cnn_jax.core.errors import UserError
from cnn_jax.training import loop

QUICK = measure.Protocol(repeats=1, warmup=1)
ROW = {"data", "examples", "in_memory", "image_shape", "batch_size", "workers", "cores"}
ROW |= {"warmup", "repeats", "steps_per_repeat", "steady", "images_per_second"}
ROW |= {"images_per_second_per_core", "peer_images_per_second", "memory", "ratio"}
ROW |= {"ratio_of_best", "peer", "step_ms", "step_ms_best", "step_ms_p10"}
ROW |= {"step_ms_p90", "peer_step_ms", "peer_step_ms_best", "peer_step_ms_p10"}
ROW |= {"peer_step_ms_p90"}


@pytest.fixture
def short(monkeypatch):
    """Memory is watched over an epoch, however short that is."""
    monkeypatch.setattr(inputs, "FEWEST_BATCHES", 1)


def config_of(name="folder", **options):
    options = {"name": name, "batch_size": 4} | options
    if name == "folder":
        options |= {"image_size": 8, "in_memory": False}
    overrides = {f"data.{key}": str(value) for key, value in options.items()}
    return Request(model="resnet20", overrides=overrides).resolve()


def test_class_folders(pets, short):
    row = inputs.row(config_of(dir=pets), QUICK)
    assert row.keys() == ROW
    assert (row["data"], row["examples"], row["in_memory"]) == ("folder", 12, False)
    assert (row["batch_size"], row["image_shape"]) == (4, [8, 8, 3])
    assert (row["workers"], row["cores"], row["steps_per_repeat"]) == (0, 1, 1)
    assert row["images_per_second"] == pytest.approx(4e3 / row["step_ms"])
    assert row["images_per_second_per_core"] == row["images_per_second"]
    assert row["peer"] is None and row["ratio"] is None


def test_workers(pets, short):
    row = inputs.row(config_of(dir=pets, workers=1), QUICK)
    assert (row["workers"], row["cores"]) == (1, 1)
    assert row["steps_per_repeat"] == inputs.AHEAD + torch_input.AHEAD
    assert not multiprocessing.active_children()


def test_it_is_the_loader_of_training(monkeypatch, short):
    asked = []

    def batches(split, seed, start, stop, *, batch_size: int, workers: int = 0):
        asked.append((seed, start, batch_size, workers))
        yield from ({} for _ in range(100))

    monkeypatch.setattr(loop, "batches", batches)
    row = inputs.row(config_of("digits", workers=2, batch_size=100), QUICK)
    assert asked == [(0, 0, 100, 2)]
    # No process of its own decodes what is in memory.
    assert (row["in_memory"], row["workers"], row["cores"]) == (True, 2, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_over_an_epoch(monkeypatch):
    row = inputs.row(config_of("digits", batch_size=10), QUICK)
    found = row["memory"]
    assert (found["batches"], found["samples"]) == (144, 101)  # of 1,437 digits
    taken = []
    sizes = iter([50, 70, 40, 60])
    monkeypatch.setattr(inputs, "resident_bytes", lambda: next(sizes))
    loader = (taken.append(i) for i in range(100))
    assert inputs._memory(loader, warmup=2, batches=3) == {
        "batches": 3,
        "samples": 4,
        "first_bytes": 50,
        "largest_bytes": 70,
        "last_bytes": 60,
        "growth_bytes": 10,
    }
    assert taken == [0, 1, 2, 3, 4]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_is_that_of_the_workers_too(monkeypatch):
    alone = inputs.resident_bytes()
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    child.start()
    try:
        both = inputs.resident_bytes()
    finally:
        child.kill()
        child.join()
    assert alone > 2**20 and both > alone
    # Elsewhere nobody says.
    monkeypatch.setattr(inputs.os, "getpid", lambda: -1)
    assert inputs.resident_bytes() is None


def test_command(call):
    arguments = ["--config=configs/mlp.py", "--input", "--repeats=2", "--warmup=1"]
    code, out, err = call("benchmark", *arguments, "--format=json")
    assert code == 0, err
    content = json.loads(out)
    (row,) = content["results"]
    assert row.keys() == ROW and row["repeats"] == 2
    versions = content["versions"]
    assert versions["pillow"] and versions["grain"] and not versions["torchvision"]
    code, out, err = call("benchmark", *arguments)
    assert code == 0, err
    assert out.startswith("input of digits, held in memory\n")
    assert "per core" in out and "growth" in out and "ratio" not in out


def test_suite(pets, short, monkeypatch, capsys):
    monkeypatch.setattr(suite, "WORKERS", (0,))
    missing = NoPeer("--peer=torch needs torchvision")
    monkeypatch.setattr(torch_peer, "vision", lambda _: throw(missing))
    (row,) = suite.input_rows(str(pets), QUICK, ["torch"])
    assert (row["image_shape"], row["peer"]) == ([224, 224, 3], None)
    assert "input: --peer=torch needs torchvision" in capsys.readouterr().err
    page = suite.input_section([row])
    assert page.startswith("\n## Input\n") and f"{row['step_ms']:.2f}" in page
    # Beside a peer, and where the system says nothing of memory.
    beside = dict.fromkeys([key for key in row if key.startswith("peer_")], 5.0)
    row |= beside | {"peer": "torch", "ratio": 0.5, "ratio_of_best": 0.5}
    table = tables.input_markdown([row, row | {"memory": None}])
    assert table.count(" 0.50 ") == 4


def throw(error):
    raise error


@pytest.mark.parametrize(
    "name, hint", [("digits", None), ("folder", "in_memory=false")]
)
def test_nothing_to_decode(pets, monkeypatch, name, hint):
    monkeypatch.setattr(torch_peer, "vision", lambda _: None)
    options = {"dir": pets} if name == "folder" else {}
    overrides = {f"data.{key}": str(value) for key, value in options.items()}
    request = Request(model="resnet20", overrides={"data.name": name} | overrides)
    with pytest.raises(NoPeer, match=f"{name} is held in memory") as error:
        inputs.row(request.resolve(), dataclasses.replace(QUICK, peer="torch"))
    assert "\n" not in str(error.value)
    assert (hint or "as decoded images: leave out --peer.") in str(error.value)


def test_a_damaged_picture_is_one_line(pets, short):
    for path in pets.glob("cat/*.png"):
        path.write_bytes(b"none")
    with pytest.raises(UserError, match="not an image") as error:
        inputs.row(config_of(dir=pets), QUICK)
    assert "\n" not in str(error.value)


@pytest.fixture
def torchvision():
    pytest.importorskip("torch")
    return pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))


def test_beside_the_peer(torchvision, pets, short):
    row = inputs.row(config_of(dir=pets), dataclasses.replace(QUICK, peer="torch"))
    assert row.keys() == ROW and row["peer"] == "torch"
    assert row["ratio"] == pytest.approx(row["step_ms"] / row["peer_step_ms"])
    speed = 4e3 / row["peer_step_ms"]
    assert row["peer_images_per_second"] == pytest.approx(speed)
