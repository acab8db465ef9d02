"""TensorBoard itself serves what a run has written."""

import json
import re
import subprocess
import sys
import time
import urllib.request

import pytest


@pytest.fixture(scope="module")
def served(trained):
    """`served(route, body=None)`: the JSON that TensorBoard answers with."""
    flags = [f"--logdir={trained.parent}", "--host=127.0.0.1", "--port=0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", *flags, "--reload_multifile=true"],
        stderr=subprocess.PIPE,
        text=True,
    )
    address = None
    for line in process.stderr:
        if found := re.search(r"http://127\.0\.0\.1:\d+/", line):
            address = found.group()
            break
    assert address, "TensorBoard did not start"

    def get(route, body=None):
        request = urllib.request.Request(
            address + "data/" + route,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    deadline = time.monotonic() + 60
    while not get("runs") and time.monotonic() < deadline:
        time.sleep(0.2)
    yield get
    process.terminate()
    process.communicate()


def tags(served, plugin):
    return set(served(f"plugin/{plugin}/tags")["run"])


def test_scalars(served, rows, trained):
    measured = rows(trained)
    names = {key for row in measured for key in row if key != "step"}
    assert tags(served, "scalars") == names | {"train/examples_per_second"}
    assert {"train/loss", "train/accuracy", "test/loss", "test/accuracy"} <= names
    assert {"train/learning_rate", "train/gradient_norm"} <= names
    points = served("plugin/scalars/scalars?run=run&tag=test/loss")
    assert [point[1:] for point in points] == [
        [row["step"], pytest.approx(row["test/loss"], rel=1e-6)]
        for row in measured
        if "test/loss" in row
    ]


def test_images(served):
    assert tags(served, "images") >= {
        "train/augmented",
        "test/wrong",
        "test/confusion",
        "test/reliability",
    }


def test_texts_and_histograms(served):
    assert {name.removesuffix("/text_summary") for name in tags(served, "text")} == {
        "config",
        "summary",
        "val/classes",
        "test/classes",
    }
    found = served("plugin/text/text?run=run&tag=summary/text_summary")
    assert "<table>" in found[0]["text"] and "hidden1" in found[0]["text"]
    assert "weights/hidden1/kernel" in tags(served, "histograms")


def test_hparams(served, rows, trained):
    body = {"experimentName": ""}
    experiment = served("plugin/hparams/experiment", body)
    names = {info["name"] for info in experiment["hparamInfos"]}
    assert {"optimizer.learning_rate", "model.name", "seed"} <= names
    body = {
        "experimentName": "",
        "allowedStatuses": [
            "STATUS_SUCCESS",
            "STATUS_RUNNING",
            "STATUS_UNKNOWN",
            "STATUS_FAILURE",
        ],
        "colParams": [{"metric": {"group": "", "tag": "test/accuracy"}}],
        "startIndex": 0,
        "sliceSize": 10,
    }
    (group,) = served("plugin/hparams/session_groups", body)["sessionGroups"]
    assert group["hparams"]["optimizer.learning_rate"] == 2e-3
    assert group["hparams"]["arm"] == "small"
    values = {m["name"]["tag"]: m["value"] for m in group["metricValues"]}
    assert values["test/accuracy"] == pytest.approx(
        rows(trained)[-1]["test/accuracy"], rel=1e-6
    )
