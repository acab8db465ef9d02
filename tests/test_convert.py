"""`python -m cnn_jax.convert`, and runs that start from its weights."""

import hashlib
import importlib.util
import json
import os
import pickle
import sys
import zipfile
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import safetensors
import safetensors.numpy

from cnn_jax import convert, models
from cnn_jax.weights import torch_weights, weight_files
from cnn_jax.weights.torch_weights import entries_of

NAME = "squeezenet1_1"
DATA = Path(
    os.environ.get("CNN_JAX_TEST_DATA", Path(__file__).parents[1] / "../shared/data")
)


def state_of(model, name, input_shape=None):
    rng = np.random.default_rng(0)
    return {
        e.name: (0.1 * rng.standard_normal(e.torch_shape)).astype(np.float32)
        for e in entries_of(name, model, input_shape)
    }


@pytest.fixture(scope="module")
def squeezenet():
    """A state dict as large as the real one."""
    return state_of(models.create(NAME, num_classes=7), NAME)


@pytest.fixture
def file(squeezenet, tmp_path):
    path = tmp_path / "weights.safetensors"
    safetensors.numpy.save_file(squeezenet, path)
    return path


def the_line(err):
    (line,) = err.splitlines()
    assert line.startswith("error: "), err
    return line


@pytest.fixture
def refused(call, tmp_path):
    """`refused(*args)`: the line that convert said, having written nothing."""

    def refuse(*args):
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        code, out, err = call("convert", *args)
        assert code in (1, 2) and out == ""
        assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
        return the_line(err)

    return refuse


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert ours[name].dtype == value.dtype
        assert ours[name].tobytes() == value.tobytes(), name


# --------------------------------------------------------------- from torchvision


def test_convert_is_also_a_library():
    assert convert.from_torch is torch_weights.from_torch
    assert convert.to_torch is torch_weights.to_torch
    with pytest.raises(AttributeError, match="from_tensorflow"):
        _ = convert.from_tensorflow


@pytest.mark.full
def test_a_file_becomes_a_folder(run, file, squeezenet, tmp_path):
    folder = tmp_path / "new" / "weights"
    out = run("convert", f"--model={NAME}", f"--weights={file}", f"--output={folder}")
    parameters = sum(value.size for value in squeezenet.values())
    assert out == (
        f"{NAME}: 52 entries, {parameters:,} parameters, 7 classes, from {file} to "
        f"{folder}\n"
    )
    assert sorted(path.name for path in folder.parent.iterdir()) == ["weights"]
    facts = json.loads((folder / "weights.json").read_text())
    assert facts["model"] == NAME and facts["num_classes"] == 7
    assert facts["attributes"] == {} and facts["parameters"] == parameters
    assert facts["source"] == {
        "file": str(file),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
    # Plain Orbax reads it.
    with ocp.PyTreeCheckpointer() as checkpointer:
        variables = checkpointer.restore(folder / "variables")
    assert set(variables) == {"params", "batch_stats"}
    assert_same(convert.to_torch(NAME, variables), squeezenet)
    model = models.create(facts["model"], num_classes=7, **facts["attributes"])
    x = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
    logits = jax.eval_shape(lambda v, x: model.apply(v, x, False), variables, x)
    assert logits.shape == (1, 7)


@pytest.mark.full
def test_auxiliary_heads_are_among_the_attributes(call, tmp_path):
    model = models.create("googlenet_bn", num_classes=3, auxiliary=False)
    file = tmp_path / "g.safetensors"
    safetensors.numpy.save_file(state_of(model, "googlenet_bn"), file)
    folder = tmp_path / "weights"
    code, _, err = call(
        "convert", "--model=googlenet_bn", f"--weights={file}", f"--output={folder}"
    )
    assert code == 0, err
    facts = json.loads((folder / "weights.json").read_text())
    assert facts["attributes"] == {"auxiliary": False}


def test_a_folder_is_replaced_on_request_only(call, refused, file, tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()  # an empty one may be used
    arguments = [f"--model={NAME}", f"--weights={file}", f"--output={folder}"]
    assert call("convert", *arguments)[0] == 0
    assert "is not empty; --overwrite replaces the folder" in refused(*arguments)
    (folder / "mine.txt").touch()
    assert "holds mine.txt" in refused(*arguments, "--overwrite")
    (folder / "mine.txt").unlink()
    assert call("convert", *arguments, "--overwrite")[0] == 0
    assert sorted(p.name for p in folder.iterdir()) == ["variables", "weights.json"]
    assert {p.name for p in tmp_path.iterdir()} == {file.name, "weights"}
    (folder / "weights.json").unlink()
    line = refused(*arguments, "--overwrite")
    assert "not a folder of weights" in line and "weights.json" in line
    arguments[-1] = f"--output={file}"
    assert "is a file, not a folder" in refused(*arguments, "--overwrite")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--model=squeezenet"], ["no counterpart of 'squeezenet'", NAME, "vgg16"]),
        (["--model=lenet5"], ["no counterpart of 'lenet5'", "resnet50"]),
        (["--model=resnet18"], ["conv1.weight", "is missing", "classifier.1.", "more"]),
        (["--model=squeezenet1_0"], ["features.0.weight", "(64, 3, 3, 3)", "96, 3, 7"]),
        (["--weights=none.safetensors"], ["no weights at none.safetensors"]),
        (["--weights=README.md"], ["README.md", ".safetensors, .pth, .pt"]),
        (["--weights=tests"], ["tests is not a folder of weights", "weights.json"]),
        (
            ["--workdir=runs/x"],
            ["--workdir cannot be combined with --model and --weights"],
        ),
    ],
)
def test_mistakes(arguments, parts, refused, file, tmp_path):
    line = refused(
        f"--model={NAME}", f"--weights={file}", f"--output={tmp_path / 'w'}", *arguments
    )
    for part in parts:
        assert part in line


def test_missing_flags(refused, tmp_path):
    assert "--output" in refused(f"--model={NAME}", "--weights=x.pth")
    assert "--weights" in refused(f"--model={NAME}", f"--output={tmp_path / 'w'}")


@pytest.mark.parametrize("damage", ["empty", "garbage", "truncated", "8 bits"])
def test_damaged_safetensors(damage, refused, file, tmp_path):
    content = file.read_bytes()
    file.write_bytes(
        {
            "empty": b"",
            "garbage": b"<!DOCTYPE html>" * 100,
            "truncated": content[:-1000],
            "8 bits": header_of(b"\0\0", "F8_E4M3", 2),
        }[damage]
    )
    line = refused(f"--model={NAME}", f"--weights={file}", f"--output={tmp_path / 'w'}")
    assert f"{file} cannot be read as weights" in line


def header_of(data, dtype, size):
    header = {"x": {"dtype": dtype, "shape": [size], "data_offsets": [0, len(data)]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


# ----------------------------------------------------------------- files of PyTorch

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed"
)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def malicious_file(path, victim):
    """A checkpoint that makes a folder when it is unpickled."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Malicious(victim)))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return path


def test_without_torch(refused, tmp_path, monkeypatch):
    """The command names the missing package, and executes nothing from the file."""
    monkeypatch.setitem(sys.modules, "torch", None)  # as if not installed
    victim = tmp_path / "executed"
    file = malicious_file(tmp_path / "weights.pth", victim)
    line = refused(f"--model={NAME}", f"--weights={file}", f"--output={tmp_path / 'w'}")
    assert "PyTorch" in line and "pip install torch" in line and ".safetensors" in line
    assert not victim.exists()


@needs_torch
def test_nothing_in_a_file_is_executed(refused, tmp_path):
    victim = tmp_path / "executed"
    file = malicious_file(tmp_path / "weights.pth", victim)
    line = refused(f"--model={NAME}", f"--weights={file}", f"--output={tmp_path / 'w'}")
    assert "cannot be read as weights" in line and not victim.exists()
    for content in (b"", b"<!DOCTYPE html>", pickle.dumps(Malicious(victim))):
        file.write_bytes(content)
        line = refused(
            f"--model={NAME}", f"--weights={file}", f"--output={tmp_path / 'w'}"
        )
        assert "cannot be read as weights" in line and not victim.exists()
    # The file would have done it.
    pickle.loads(content)
    assert victim.exists()


@needs_torch
@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_torch_files(suffix, call, squeezenet, refused, tmp_path):
    import torch

    tensors = {
        f"module.{key}": torch.from_numpy(value.copy()).bfloat16()
        for key, value in squeezenet.items()
    }
    file, folder = tmp_path / f"weights{suffix}", tmp_path / "weights"
    torch.save({"state_dict": tensors, "epoch": 3}, file)
    arguments = [f"--model={NAME}", f"--weights={file}", f"--output={folder}"]
    code, _, err = call("convert", *arguments)
    assert code == 0, err
    expected = convert.from_torch(NAME, {"state_dict": tensors})["params"]
    arrays = weight_files.read(folder).arrays
    kernel = arrays["params/conv1/kernel"]
    np.testing.assert_array_equal(kernel, expected["conv1"]["kernel"])
    assert kernel.dtype == np.float32
    file.write_bytes(file.read_bytes()[:-5000])
    assert "cannot be read as weights" in refused(*arguments, "--overwrite")
    torch.save([1, 2], file)
    assert "holds a list, and not a state dict" in refused(*arguments, "--overwrite")


# ----------------------------------------------------------------------- init_from

# A ResNet-18 of a width that trains in seconds.
SMALL = {"width": 4, "stage_sizes": (1, 1), "stem": "small"}
TINY = [
    "--config=configs/mlp.py",
    "--config.model.name=resnet18",
    "--config.model.width=4",
    "--config.model.stage_sizes=(1, 1)",
    "--config.model.stem=small",
    "--config.data.train_examples=16",
    "--config.data.test_examples=10",
    "--config.data.batch_size=8",
    "--config.schedule.name=constant",
    "--config.schedule.warmup_steps=0",
    "--config.train.steps=2",
]


@pytest.fixture
def resnet(tmp_path):
    """`resnet(num_classes)`: a file for the digits, and its state dict."""

    def make(num_classes):
        model = models.create("resnet18", num_classes=num_classes, **SMALL)
        state = state_of(model, "resnet18", (8, 8, 1))
        for key in state:
            if key.endswith("running_var"):
                state[key] = np.abs(state[key]) + 0.5
        path = tmp_path / f"resnet{num_classes}.safetensors"
        safetensors.numpy.save_file(state, path)
        return path, state

    return make


@pytest.fixture
def begin(call, tmp_path):
    """`begin(path, *more)`: what a run that starts from `path` said, and its folder."""

    def start(path, *more):
        workdir = tmp_path / "run"
        code, out, err = call(
            "main",
            *TINY,
            f"--config.model.init_from={path}",
            *more,
            f"--workdir={workdir}",
        )
        return code, out, err, workdir

    return start


def exported(call, workdir, file, *more):
    code, out, err = call("convert", f"--workdir={workdir}", f"--output={file}", *more)
    assert code == 0, err
    return safetensors.numpy.load_file(file), out


@pytest.mark.full
@pytest.mark.parametrize("ema", ["None", "0.5"])
def test_a_run_starts_from_a_file_and_is_written_as_one(
    ema, done, call, resnet, tmp_path
):
    """With a learning rate of zero it stays what it was."""
    path, state = resnet(10)
    workdir = tmp_path / "run"
    out = done(
        "main",
        *TINY,
        f"--config.model.init_from={path}",
        "--config.optimizer.learning_rate=0",
        f"--config.optimizer.ema_decay={ema}",
        f"--workdir={workdir}",
    )
    assert f"{len(state)} of {len(state)} entries" in out and str(path) in out
    assert "left out" not in out
    file = workdir / "back.safetensors"
    back, said = exported(call, workdir, file)
    assert f"from step 2 of {workdir} to {file}" in said and "10 classes" in said
    counts = {key for key in back if key.endswith("num_batches_tracked")}
    assert len(counts) == 6 and back.keys() - counts == state.keys()
    for key, value in state.items():
        if "running" not in key:
            # An average of equal values may be rounded to a neighbor of theirs.
            steps = 0 if ema == "None" else 1
            np.testing.assert_array_max_ulp(back[key], value, steps)
        else:
            assert not np.array_equal(back[key], value)
    with safetensors.safe_open(file, framework="np") as reader:
        facts = {k: v for k, v in reader.metadata().items() if k != "format"}
        assert reader.metadata()["format"] == "pt"
    facts = {key: json.loads(value) for key, value in facts.items()}
    assert facts["model"] == "resnet18" and len(facts["classes"]) == 10
    assert facts["image_shape"] == [8, 8, 1] and len(facts["mean"]) == 1
    # A file that is there is replaced on request only.
    code, _, err = call("convert", f"--workdir={workdir}", f"--output={file}")
    assert code == 1 and "exists; --overwrite replaces the file" in the_line(err)
    exported(call, workdir, file, "--overwrite", "--checkpoint=last")


@pytest.mark.full
def test_another_number_of_classes_leaves_the_head_out(begin, call, resnet):
    path, state = resnet(1000)
    code, out, err, workdir = begin(path, "--config.optimizer.learning_rate=0")
    assert code == 0, err
    (line,) = (line for line in out.splitlines() if str(path) in line)
    assert f"{len(state) - 2} of {len(state)} entries" in line
    assert "left out: head: 1000 classes in the file, 10 here" in line
    back, _ = exported(call, workdir, workdir / "back.safetensors")
    assert back["fc.weight"].shape == (10, 8) and back["fc.weight"].std() > 0
    np.testing.assert_array_equal(back["conv1.weight"], state["conv1.weight"])


@pytest.mark.full
def test_a_run_of_another_network_is_not_torchvisions(call, resnet, begin, tmp_path):
    """The file is written, with a warning that torchvision cannot load it."""
    code, _, err, workdir = begin(resnet(10)[0])
    assert code == 0, err
    file = tmp_path / "out.safetensors"
    code, out, err = call("convert", f"--workdir={workdir}", f"--output={file}")
    assert code == 0 and file.exists(), err
    assert "warning: torchvision's own resnet18 cannot load this file" in out
    assert "conv1.weight is (" in out


@pytest.mark.full
def test_a_folder_of_convert(begin, call, resnet, tmp_path):
    """The same network as from the file that the folder was made of."""
    path, state = resnet(10)
    variables = convert.from_torch("resnet18", state, **SMALL)
    variables = jax.tree.map(np.asarray, variables)
    facts = {"model": "resnet18"}
    folder = tmp_path / "weights"
    weight_files.write_folder(folder, variables, facts, overwrite=False)
    frozen = "--config.optimizer.learning_rate=0"
    code, out, err, workdir = begin(folder, frozen)
    assert code == 0, err
    assert f"{len(state)} of {len(state)} entries" in out
    first, _ = exported(call, workdir, tmp_path / "a.safetensors")
    code, _, err, workdir = begin(path, frozen, "--overwrite")
    assert code == 0, err
    second, _ = exported(call, workdir, tmp_path / "b.safetensors")
    assert_same(first, second)
    # Changed bytes, a few in each file: Orbax keeps some arrays twice.
    for data in (folder / "variables").rglob("*"):
        if data.parent.name == "d":
            content = bytearray(data.read_bytes())
            for place in range(len(content) // 3, len(content), 997):
                content[place] ^= 1
            data.write_bytes(content)
    code, _, err, _ = begin(folder, frozen, "--overwrite")
    line = the_line(err)
    assert code == 1 and str(folder) in line
    assert "damaged" in line or "cannot be read" in line


@pytest.mark.full
def test_a_run_that_goes_on_needs_no_file(begin, call, resnet, run):
    path, _ = resnet(10)
    code, _, err, workdir = begin(path)
    assert code == 0, err
    final, _ = exported(call, workdir, workdir.parent / "a.safetensors")
    (workdir / "results.json").unlink()
    path.unlink()
    code, out, err, _ = begin(path)
    assert code == 0 and "resuming from step 2" in err + out
    assert "entries" not in out
    assert call("evaluate", f"--workdir={workdir}")[0] == 0
    again, _ = exported(call, workdir, workdir.parent / "b.safetensors")
    assert_same(again, final)
    # From the beginning it does.
    code, _, err, _ = begin(path, "--overwrite")
    assert code == 1 and f"no weights at {path}" in the_line(err)
    assert (workdir / "checkpoints").exists()


@pytest.mark.full
def test_two_devices_start_from_it_too(call, resnet, run, tmp_path):
    path, state = resnet(10)
    workdir = tmp_path / "run"
    run(
        "main",
        *TINY,
        f"--config.model.init_from={path}",
        "--config.optimizer.learning_rate=0",
        f"--workdir={workdir}",
        env={"XLA_FLAGS": "--xla_force_host_platform_device_count=2"},
    )
    back, _ = exported(call, workdir, tmp_path / "back.safetensors")
    for key, value in state.items():
        if "running" not in key:
            np.testing.assert_array_equal(back[key], value)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (["--config.model.name=lenet5"], ["no counterpart of 'lenet5'", "resnet18"]),
        (["--config.model.width=8"], ["conv1.weight", "(4, 1, 3, 3)", "(8, 1, 3, 3)"]),
        (["--config.model.stem=imagenet"], ["conv1.weight", "(4, 1, 7, 7)"]),
        (["--config.model.stage_sizes=(1, 2)"], ["layer2.1.conv1.weight", "missing"]),
        (["--config.model.init_from=x.pth"], ["no weights at x.pth"]),
        (["--config.model.init_from=tests"], ["not a folder of weights"]),
        (["--config.model.init_form=x"], ["'config.model.init_from'?"]),
    ],
)
def test_a_file_that_does_not_fit(change, parts, call, resnet, tmp_path):
    path, _ = resnet(10)
    arguments = [*TINY, f"--config.model.init_from={path}", *change]
    if "--config.model.name=lenet5" in change:
        arguments = [a for a in arguments if "resnet18" not in a and "model.w" not in a]
        arguments = [a for a in arguments if "model.st" not in a]
    code, out, err = call("main", *arguments, f"--workdir={tmp_path / 'run'}")
    assert code == 1 and out == ""
    for part in parts:
        assert part in the_line(err)
    assert not (tmp_path / "run").exists()


def test_runs_without_torchvision_names(call, refused, trained, tmp_path):
    file = tmp_path / "x.safetensors"
    line = refused(f"--workdir={trained}", f"--output={file}")
    assert "no counterpart of 'mlp'" in line
    line = refused(f"--workdir={trained}", f"--output={tmp_path / 'x'}")
    assert "must be a .safetensors file" in line
    line = refused(f"--workdir={tmp_path}", f"--output={file}")
    assert "is not a run's folder" in line


def test_trained_weights(call, tmp_path):
    """The weights were trained on ImageNet, for this network."""
    file = DATA / "weights" / "squeezenet1_0_imagenet.safetensors"
    if not file.exists():
        pytest.skip(f"no trained weights in {DATA} (set CNN_JAX_TEST_DATA)")
    folder = tmp_path / "weights"
    arguments = ["--model=squeezenet1_0", f"--weights={file}", f"--output={folder}"]
    code, out, err = call("convert", *arguments)
    assert code == 0, err
    assert "1,248,424 parameters, 1000 classes" in out
    arrays = weight_files.read(folder).arrays
    theirs = safetensors.numpy.load_file(file)["classifier.1.weight"]
    kernel = arrays["params/head/kernel"]
    np.testing.assert_array_equal(kernel, theirs.transpose(2, 3, 1, 0))
