"""The events of a run, read back with TensorBoard's reader."""

import errno
import io
import json
import os
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from tensorboard.backend.event_processing import plugin_event_accumulator as plugins
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from cnn_jax.core.errors import UserError
from cnn_jax.training import writers
from cnn_jax.training.writers import Console, Events, Log, cell, markdown


def events(workdir):
    found = EventAccumulator(str(workdir), size_guidance={"tensors": 0, "scalars": 0})
    found.Reload()
    return found


def scalars(found, name):
    return [(event.step, round(event.value, 5)) for event in found.Scalars(name)]


def lines(workdir):
    text = (workdir / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_everything_is_there(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
    values = np.linspace(-1, 3, 50)
    with Log(tmp_path, 0) as log:
        log.text(0, "config", "| key | value |")
        hparams = {"optimizer.learning_rate": 0.1, "eval.test": True}
        log.hparams_row(hparams | {"model.name": "mlp"})
        log.hparams_columns(hparams, ["test/accuracy"])
        log.scalars(5, {"train/loss": 0.5, "train/accuracy": 0.25})
        log.scalars(10, {"train/loss": 0.25})
        log.image(10, "test/wrong", picture)
        log.histograms(10, {"params/head/kernel": values.reshape(5, 10)})

    assert lines(tmp_path) == [
        {"step": 5, "train/loss": 0.5, "train/accuracy": 0.25},
        {"step": 10, "train/loss": 0.25},
    ]
    found = events(tmp_path)
    tags = found.Tags()
    assert scalars(found, "train/loss") == [(5, 0.5), (10, 0.25)]
    assert scalars(found, "train/accuracy") == [(5, 0.25)]
    (image,) = found.Images("test/wrong")
    assert (image.step, image.width, image.height) == (10, 5, 7)
    from PIL import Image

    stored = Image.open(io.BytesIO(image.encoded_image_string))
    np.testing.assert_array_equal(np.asarray(stored), picture)
    (histogram,) = found.Histograms("params/head/kernel")
    seen = histogram.histogram_value
    assert (histogram.step, seen.num, seen.min, seen.max) == (10, 50, -1, 3)
    assert seen.sum == pytest.approx(values.sum())
    assert sum(seen.bucket) == 50
    (text,) = (name for name in tags["tensors"] if "config" in name)
    (event,) = found.Tensors(text)
    assert event.tensor_proto.string_val[0] == b"| key | value |"

    session = found.SummaryMetadata("_hparams_/session_start_info")
    content = plugin_data_pb2.HParamsPluginData.FromString(session.plugin_data.content)
    hparams = content.session_start_info.hparams
    assert hparams["optimizer.learning_rate"].number_value == 0.1
    assert hparams["eval.test"].bool_value is True
    assert hparams["model.name"].string_value == "mlp"
    experiment = found.SummaryMetadata("_hparams_/experiment")
    content = plugin_data_pb2.HParamsPluginData.FromString(
        experiment.plugin_data.content
    )
    (metric,) = content.experiment.metric_infos
    assert metric.name.tag == "test/accuracy"
    columns = {info.name for info in content.experiment.hparam_infos}
    assert columns == {"optimizer.learning_rate", "eval.test"}


def test_events_without_a_run(tmp_path):
    """Such events have no metrics.jsonl, and replace the events of an earlier file."""
    for value in (0.5, 0.25):
        with Events(tmp_path, ending=".mine") as log:
            log.scalars(5, {"test/loss": value})
        (path,) = tmp_path.iterdir()
        assert path.name.endswith(".mine")
        assert scalars(events(tmp_path), "test/loss") == [(5, value)]
        path.unlink()


def test_numbers_that_are_none_end_neither_json_nor_the_run(tmp_path):
    with Log(tmp_path, 0) as log:
        log.scalars(1, {"test/loss": np.nan, "test/psnr": np.inf})
        log.histograms(1, {"a": np.full(3, np.nan), "b": np.array([1.0, np.inf])})
    assert lines(tmp_path) == [{"step": 1, "test/loss": None, "test/psnr": None}]
    assert events(tmp_path).Tags()["histograms"] == ["b"]


def test_a_line_is_on_the_disk_at_once(tmp_path):
    with Log(tmp_path, 0) as log:
        log.scalars(1, {"train/loss": 1.0})
        assert lines(tmp_path) == [{"step": 1, "train/loss": 1.0}]
        assert scalars(events(tmp_path), "train/loss") == [(1, 1.0)]


@pytest.mark.parametrize("first", [None, KeyError("the first error")])
def test_a_full_disk_is_named(first, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    words = f"cannot write TensorBoard events to {tmp_path}: No space left"
    with (
        pytest.raises(
            KeyError if first else UserError, match="first" if first else words
        ),
        Log(tmp_path, 0) as log,
    ):
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=words):
            log.flush()
        if first:
            raise first


def test_a_run_that_goes_on_takes_back_what_came_later(tmp_path):
    """In metrics.jsonl and in the charts: as if it had never been."""
    with Log(tmp_path, 0) as log:
        for step in (2, 4, 6, 8):
            log.scalars(step, {"train/loss": float(step)})
    (first,) = tmp_path.glob("events.*")
    first.rename(first.with_name(first.name.replace("tfevents.", "tfevents.0")))
    time.sleep(0.01)
    with Log(tmp_path, 4) as log:
        for step in (6, 9):
            log.scalars(step, {"train/loss": float(-step)})
    expected = [(2, 2.0), (4, 4.0), (6, -6.0), (9, -9.0)]
    assert [(row["step"], row["train/loss"]) for row in lines(tmp_path)] == expected
    assert scalars(events(tmp_path), "train/loss") == expected


def everything(log, steps):
    """Writes what a run writes before its first step and at each step."""
    log.text(0, "config", "| key | value |")
    log.hparams_row({"model.name": "mlp"})
    log.hparams_columns({"model.name": "mlp"}, ["test/accuracy"])
    log.image(0, "train/augmented", np.zeros((4, 4, 3), np.uint8))
    for step in steps:
        at_a_step(log, step)


def at_a_step(log, step):
    log.scalars(step, {"train/loss": float(step)})
    log.image(step, "test/wrong", np.zeros((4, 4, 3), np.uint8))
    log.histograms(step, {"weights/kernel": np.arange(5.0)})


def counted(workdir, reader):
    """The steps of everything that TensorBoard shows, by its name."""
    kinds = {
        "scalars": "Scalars",
        "images": "Images",
        "histograms": "Histograms",
        "tensors": "Tensors",
    }
    everything = dict.fromkeys(kinds, 0)
    found = reader(str(workdir), size_guidance=everything)
    found.Reload()
    return {
        name: [event.step for event in getattr(found, read)(name)]
        for kind, read in kinds.items()
        for name in found.Tags().get(kind, [])
    }


@pytest.mark.parametrize("reader", [EventAccumulator, plugins.EventAccumulator])
@pytest.mark.parametrize("order", ["earlier", "later"])
def test_a_start_before_the_first_checkpoint_is_as_if_it_had_never_been(
    order, reader, tmp_path
):
    """The events of the first start vanish, also if the second clock is behind."""
    with Log(tmp_path, 0) as log:
        everything(log, (2, 4, 6))
    (first,) = tmp_path.glob("events.*")
    number = {"earlier": "1000000000", "later": "9999999999"}[order]
    first.rename(tmp_path / f"events.out.tfevents.{number}.host.1")
    (tmp_path / "events.csv").write_text("mine")
    with Log(tmp_path, 0) as log:
        everything(log, (2, 4))
    found = counted(tmp_path, reader)
    texts = [steps for name, steps in found.items() if "config" in name]
    assert texts == [[0]] and found["train/augmented"] == [0]
    for name in ("train/loss", "test/wrong", "weights/kernel"):
        assert found[name] == [2, 4]
    assert (tmp_path / "events.csv").exists()


@pytest.mark.parametrize("reader", [EventAccumulator, plugins.EventAccumulator])
def test_an_open_tensorboard_takes_a_killed_start_back(reader, tmp_path):
    """An open TensorBoard has already read the events of deleted files."""
    found = reader(str(tmp_path))
    with Log(tmp_path, 0) as log:
        log.image(0, "train/augmented", np.zeros((4, 4, 3), np.uint8))
    found.Reload()
    (first,) = tmp_path.glob("events.*")
    time.sleep(1.1)  # the seconds are in the name, and another name follows
    with Log(tmp_path, 0) as log:
        log.image(0, "train/augmented", np.zeros((4, 4, 3), np.uint8))
    assert not first.exists()
    found.Reload()
    kind = "Images" if reader is EventAccumulator else "Tensors"
    assert len(getattr(found, kind)("train/augmented")) == 1


@pytest.mark.parametrize("reader", [EventAccumulator, plugins.EventAccumulator])
def test_events_after_the_last_checkpoint_are_taken_back(reader, tmp_path):
    with Log(tmp_path, 0) as log:
        everything(log, (2, 4, 6, 8))
    (first,) = tmp_path.glob("events.*")
    first.rename(tmp_path / "events.out.tfevents.1000000000.host.1")
    with Log(tmp_path, 4) as log:
        for step in (6, 9):
            at_a_step(log, step)
    found = counted(tmp_path, reader)
    for name in ("train/loss", "test/wrong", "weights/kernel"):
        assert found[name] == [2, 4, 6, 9]
    assert found["train/augmented"] == [0]


# ------------------------------------------------------------------ the console


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(time=0.0)
    fake = SimpleNamespace(monotonic=lambda: now.time, time=time.time)
    monkeypatch.setattr(writers, "time", fake)
    return now


ROW = {"train/loss": 0.25, "train/accuracy": 0.875, "train/examples_per_second": 1234.5}


def test_a_line_every_few_seconds(clock, capsys):
    with Console(100, 0, 10.0, 8) as console:
        for step in range(1, 101):
            clock.time += 1
            console.step(step)
            console.training(step, ROW)
    out, err = capsys.readouterr()
    assert out == ""
    said = err.splitlines()
    steps = [int(line.split()[1].split("/")[0]) for line in said]
    assert steps == list(range(5, 101, 5))
    assert said[0] == (
        "step 5/100  epoch 0.5  loss 0.2500  accuracy 87.50%  1,234 examples/s  "
        "0:00:01 left"
    )
    assert "left" not in said[-1]


def test_the_last_line_is_always_said(clock, capsys):
    with Console(3, 0, 10.0, 8) as console:
        for step in (1, 2, 3):
            console.training(step, {"train/loss": 1.0})
    assert capsys.readouterr().err == "step 3/3  epoch 0.3  loss 1.0000\n"


def test_a_bar_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Console(10, 4, 10.0, 8) as console:
        console.step(5)
        console.training(5, ROW)
        console.say("a line of its own")
    shown = terminal.getvalue()
    assert "5/10" in shown and " 50%" in shown
    assert "loss 0.2500" in shown and "epoch 0.5" in shown
    assert "a line of its own\n" in shown


def test_other_hosts_are_silent(clock, capsys):
    with Console(3, 0, 10.0, 8, enabled=False) as console:
        clock.time += 60
        console.step(1)
        console.training(3, ROW)
        console.say("nothing")
    assert capsys.readouterr() == ("", "")


def test_a_table_in_markdown():
    rows = [{"class": "a|b", "examples": 3, "f1": 0.25}]
    assert markdown(rows).splitlines() == [
        "| class | examples | f1 |",
        "| --- | --- | --- |",
        "| a&#124;b | 3 | 0.2500 |",
    ]
    assert markdown([]) == ""


def test_names_that_are_markup_or_no_unicode_are_written(tmp_path):
    strange = os.fsdecode(b"\xe9|<b>_x_ a_b")
    assert cell(strange) == "\\xe9&#124;&#60;b&#62;&#95;x&#95; a_b".replace(
        "\\", "&#92;"
    )
    with Log(tmp_path, 0) as log:
        log.text(0, "config", cell(strange))
        log.hparams_row({"data.dir": strange})
        log.scalars(1, {f"test/iou/{strange}": 0.5})
