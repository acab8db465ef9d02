"""The benchmark: what it reports, and that the peer in PyTorch is the same network."""

import importlib.util
import json
import sys

import pytest

TINY = ["--config=configs/mlp.py", "--config.model.hidden=8", "--repeats=3"]
RESULT = {"model", "mode", "batch_size", "input_shape", "dtype", "parameters", "macs"}
RESULT |= {"warmup", "repeats", "steps_per_repeat", "compile_seconds", "step_ms"}
RESULT |= {"step_ms_p10", "matmul_gflops_per_second"}
RESULT |= {"step_ms_p90", "images_per_second", "gflops_per_second", "share_of_peak"}
RESULT |= {"steady", "step_ms_best", "peak_memory_bytes", "peak_memory_source"}
PEER = {"peer", "peer_step_ms", "peer_step_ms_best", "peer_step_ms_p10"}
PEER |= {"peer_step_ms_p90", "ratio", "ratio_of_best"}


@pytest.mark.full
def test_json(call):
    code, out, err = call(
        "benchmark", *TINY, "--batch_sizes=4,8", "--warmup=1", "--format=json"
    )
    assert code == 0, err
    report = json.loads(out)
    assert report["device"]["platform"] == "cpu" and report["device"]["cores"] >= 1
    assert report["versions"]["jax"] and report["versions"]["torch"] is None
    results = report["results"]
    assert [(row["mode"], row["batch_size"]) for row in results] == [
        ("train", 4),
        ("infer", 4),
        ("train", 8),
        ("infer", 8),
    ]
    for row in results:
        assert row.keys() == RESULT | PEER
        assert {row[key] for key in PEER} == {None}
        assert (row["model"], row["dtype"]) == ("mlp", "float32")
        assert (row["warmup"], row["repeats"]) == (1, 3)
        assert row["step_ms_p10"] <= row["step_ms"] <= row["step_ms_p90"]
        # 64 pixels, 8 hidden units, 10 classes.
        assert row["macs"] == 64 * 8 + 8 * 10
        factor = 3 if row["mode"] == "train" else 1
        work = 2 * row["macs"] * row["batch_size"] * factor
        seconds = row["batch_size"] / row["images_per_second"]
        assert row["gflops_per_second"] == pytest.approx(work / seconds / 1e9)
        assert row["share_of_peak"] == pytest.approx(
            row["gflops_per_second"] / row["matmul_gflops_per_second"]
        )
        assert row["peak_memory_bytes"] > 0


@pytest.mark.full
def test_table_of_a_model_by_name(call):
    code, out, err = call(
        "benchmark",
        "--model=lenet5",
        "--input_shape=20,24,1",
        "--batch_sizes=2",
        "--dtype=bfloat16",
        "--repeats=1",
        "--warmup=1",
    )
    assert code == 0, err
    assert out.startswith("lenet5 on 20x24x1, bfloat16\n")
    assert [line.split()[:2] for line in out.splitlines()[-2:]] == [
        ["train", "2"],
        ["infer", "2"],
    ]
    assert "of peak" in out and "ratio" not in out


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        ([], 2, "give exactly one of --config, --model and --suite"),
        (["--suite", "--model=mlp"], 2, "give exactly one of"),
        (["--suite", "--dtype=bfloat16"], 2, "--suite allows no other flags"),
        (["--model=mlp", "--output=x"], 2, "--output needs --suite"),
        (["--model=mlp", "--sweep_batch_size=0"], 2, "--sweep_batch_size"),
        (["--model=mlp", "--sweep_batch_size", "--batch_sizes=2"], 2, "not allowed"),
        (["--model=mlp", "--peer=flax_example"], 1, "not mlp"),
        (
            ["--model=resnet20", "--config.model.head=conv_gap", "--peer=flax_example"],
            1,
            "head=conv_gap",
        ),
        (["--config=configs/mlp.py", "--model=mlp"], 2, "give exactly one of"),
        (["--model=resnet21"], 1, "Did you mean"),
        (["--config=configs/none.py"], 1, "no config file"),
        (["--model=mlp", "--batch_sizes=0"], 2, "--batch_sizes"),
        (["--model=mlp", "--batch_sizes=eight"], 2, "--batch_sizes"),
        (["--model=mlp", "--repeats=0"], 2, "--repeats"),
        (["--model=mlp", "--input_shape=8,8"], 2, "--input_shape"),
        (["--model=resnet20", "--config.model.widht=4"], 1, "config.model.width"),
        (["--model=mlp", "--config.model.name=lenet5"], 2, "--config.model.name"),
        (
            ["--model=alexnet", "--input_shape=8,8,3"],
            1,
            "does not fit into an input of 8",
        ),
        (["--input"], 2, "give exactly one of"),
        (["--input", "--model=mlp"], 2, "--input needs --config"),
        (["--input", *TINY, "--batch_sizes=2"], 2, "--input needs --config"),
        (["--input", *TINY, "--sweep_batch_size"], 2, "--input needs --config"),
        (["--input", *TINY, "--dtype=float32"], 2, "--input needs --config"),
        (["--input", *TINY, "--input_shape=8,8,1"], 2, "--input needs --config"),
        (["--input", *TINY, "--peer=flax_example"], 2, "--input needs --config"),
        (["--input", "--suite"], 2, "--input needs --config"),
        (["--input", "--suite", *TINY], 2, "give exactly one of"),
        (["--input", "--config=configs/resnet.py:folder"], 1, "data.dir is not set"),
        (["--input", *TINY, "--config.data.workers=-1"], 1, "config.data.workers=-1"),
        ([*TINY, "--images=pictures"], 2, "--images needs --suite"),
        (["--suite", "--images=none"], 1, "data.dir is none, which does not exist"),
    ],
)
def test_mistakes(call, arguments, code, message):
    found, out, err = call("benchmark", *arguments)
    assert found == code and out == ""
    assert err.startswith("error: ") and message in err and err.count("\n") == 1


@pytest.mark.parametrize("what", [[], ["--input"]])
def test_without_pytorch(call, monkeypatch, what):
    if importlib.util.find_spec("torch"):  # SciPy stumbles over the None
        monkeypatch.setitem(sys.modules, "torch", None)
    code, out, err = call("benchmark", *TINY, *what, "--peer=torch")
    assert (code, out) == (1, "")
    assert err.startswith("error: --peer=torch needs PyTorch") and err.count("\n") == 1


@pytest.mark.full
def test_json_with_the_peer(call):
    pytest.importorskip("torch")
    code, out, err = call(
        "benchmark",
        "--config=configs/resnet.py",
        "--config.model.width=4",
        "--config.model.stage_sizes=(1,)",
        "--batch_sizes=4",
        "--repeats=2",
        "--peer=torch",
        "--format=json",
    )
    assert code == 0, err
    for row in json.loads(out)["results"]:
        assert row["peer"] == "torch"
        assert row["ratio"] == pytest.approx(row["step_ms"] / row["peer_step_ms"])


@pytest.mark.full
def test_a_network_that_pytorch_does_not_have(call):
    pytest.importorskip("torch")
    code, _, err = call("benchmark", *TINY, "--peer=torch")
    assert code == 1 and "--peer=torch has no mlp" in err and err.count("\n") == 1
