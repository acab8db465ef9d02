"""Wrong input: one clear line, exit code 1 or 2, and no half-written files."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

TWO = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
TINY = [
    "--config=configs/mlp.py",
    "--config.model.hidden=4",
    "--config.data.train_examples=40",
    "--config.data.test_examples=20",
    "--config.data.batch_size=8",
    "--config.data.augmentations=()",
    "--config.schedule.name=constant",
]


def the_line(err):
    """The one line that a mistake gets."""
    assert "Traceback" not in err, err
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, err
    assert err.splitlines()[-1] == errors[0], err
    return errors[0]


def files(folder):
    return {
        path: path.stat().st_mtime_ns for path in [folder, *sorted(folder.rglob("*"))]
    }


@pytest.fixture
def refused(call):
    """`refused(command, *args)`: the line that a command which did nothing said."""

    def refuse(command, *args):
        code, out, err = call(command, *args)
        assert code in (1, 2), (out, err)
        assert out == "" and len(err.splitlines()) == 1, (out, err)
        return the_line(err)

    return refuse


@pytest.fixture
def train(refused, tmp_path):
    """`train(*args)`: the line that main said, having left the folder untouched."""

    def refuse(*args):
        before = files(tmp_path)
        line = refused("main", *args, f"--workdir={tmp_path / 'runs' / 'run'}")
        assert files(tmp_path) == before
        return line

    return refuse


@pytest.fixture
def run_copy(trained, tmp_path):
    """A run's folder that may be spoiled."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def pictures(tmp_path):
    """Two classes of ten pictures."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{i}.png")
    return tmp_path / "pets"


# ------------------------------------------------------------------ the config


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        # Keys.
        (
            ["--config.optimizer.learning_rat=0.1"],
            ["'config.optimizer.learning_rat'", "'config.optimizer.learning_rate'?"],
        ),
        (["--config.optimzer.learning_rate=1"], ["Did you mean 'optimizer'?"]),
        (["--config.learning_rate=1"], ["unknown config key", "optimizer, schedule"]),
        (
            ["--config.optimizer.momentum=0.9"],
            ["nothing reads this key with optimizer 'adamw'", "weight_decay"],
        ),
        (["--config.model.stem=small"], ["nothing reads this key with model 'mlp'"]),
        (["--config.data.dir=."], ["nothing reads this key with data 'digits'"]),
        (["--config.optimizer=sgd"], ["config.optimizer is a group"]),
        (["--config.seed.x=1"], ["config"]),
        # Types.
        (["--config.data.batch_size=many"], ["data.batch_size", "int", "'many'"]),
        (["--config.data.batch_size=8.5"], ["data.batch_size", "int", "8.5"]),
        (["--config.eval.test=1"], ["eval.test", "bool"]),
        (["--config.data.augmentations=crop(padding=x)"], ["no list of augm"]),
        (["--config.data.augmentations=crop(padding='x')"], ["crop(padding)", "int"]),
        (["--config.data.augmentations=crop(pad=2)"], ["Did you mean 'padding'"]),
        (["--config.data.augmentations=rotation"], ["needs the option 'degrees'"]),
        (
            ["--config.data.augmentations=flop"],
            ["unknown augmentation 'flop'", "'flip'"],
        ),
        (["--config.model.hidden=(4, 'x')"], ["model.hidden", "int"]),
        (["--config.optimizer.learning_rate=None"], ["learning_rate", "float"]),
        (["--config.seed=None"], ["config.seed", "int"]),
        (["--config.task.top_k=a"], ["task.top_k", "int"]),
        # Names.
        (["--config.model.name=resnet2"], ["unknown model 'resnet2'", "resnet20"]),
        (["--config.model.name=vit"], ["unknown model 'vit'", "Known: ", "lenet5"]),
        (["--config.data.name=digit"], ["'digits'?", "folder", "tfds:NAME"]),
        (
            ["--config.task.name=detect"],
            ["unknown task", "classification, detection"],
        ),
        (["--config.optimizer.name=adamww"], ["'adamw'?", "sgd"]),
        (["--config.schedule.name=cosin"], ["'cosine'?", "constant", "step"]),
        (["--config.model.activation=rely"], ["activation 'rely'", "relu"]),
        (["--config.model.dtype=float31"], ["dtype", "float32", "bfloat16"]),
        # Values.
        (
            ["--config.train.steps=5", "--config.train.epochs=1"],
            ["config.train sets steps and epochs", "same length in different units"],
        ),
        (["--config.train.steps=0"], ["a run of zero steps"]),
        (["--config.train.epochs=-1"], ["epochs=-1.0", "at least 0"]),
        (["--config.train.epochs=1e999"], ["epochs"]),
        (["--config.train.epochs=None"], ["set one of config.train.steps"]),
        (["--config.data.batch_size=0"], ["data.batch_size=0", "at least 1"]),
        (["--config.eval.batch_size=-4"], ["eval.batch_size=-4", "at least 1"]),
        (["--config.data.train_examples=0"], ["train_examples=0"]),
        (["--config.data.image_size=0"], ["image_size"]),
        (["--config.data.augmentations=crop(padding=-1)"], ["crop(padding)=-1"]),
        (["--config.data.workers=-1"], ["workers"]),
        (["--config.seed=-1"], ["seed"]),
        (["--config.model.num_classes=9"], ["num_classes=9", "at least 10"]),
        (["--config.model.hidden=-5"], ["hidden"]),
        (["--config.checkpoint.keep=0"], ["keep"]),
        (["--config.checkpoint.keep=-1"], ["keep"]),
        (["--config.schedule.warmup_steps=-3"], ["warmup", "at least 0"]),
        (
            ["--config.schedule.name=step", "--config.schedule.boundaries=(0.9, 0.1)"],
            ["boundaries", "ascending"],
        ),
    ],
)
def test_a_config_that_cannot_be(arguments, parts, train):
    line = train(*TINY, *arguments)
    for part in parts:
        assert part in line


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            ["--config=configs/segmentation.py", "--config.task.name=classification"],
            [
                "classification learns one label per image",
                "scenes has one label per pixel",
            ],
        ),
        (
            ["--config=configs/mlp.py", "--config.task.name=segmentation"],
            [
                "segmentation learns one label per pixel",
                "digits has one label per image",
            ],
        ),
        (
            ["--config=configs/segmentation.py", "--config.model.head=gap"],
            ["gives one row of logits per image: take head=fcn"],
        ),
        (
            ["--config=configs/segmentation.py", "--config.model.name=mlp"],
            ["gives one row of logits per image: take unet:NAME"],
        ),
        (
            ["--config=configs/resnet.py", "--config.model.head=fcn"],
            ["gives one row of logits per pixel: take head=gap,"],
        ),
        (
            ["--config=configs/segmentation.py", "--config.model.name=googlenet"],
            ["googlenet has auxiliary heads", "config.model.auxiliary=false"],
        ),
        (
            ["--config=configs/video.py", "--config.model.name=resnet20"],
            ["resnet20 takes images", "moving_digits has clips"],
        ),
        (
            ["--config=configs/video.py", "--config.data.augmentations=flip"],
            ["mirror", "take 'flip' out of config.data.augmentations"],
        ),
        (
            ["--config=configs/video.py", "--config.model.frames=4"],
            ["frames=4", "these clips have 8"],
        ),
        (["--config=configs/video.py", "--config.data.frames=1"], ["frames=1"]),
        (
            ["--config=configs/segmentation.py", "--config.data.image_size=8"],
            ["data.image_size=8", "at least 12"],
        ),
    ],
)
def test_parts_that_do_not_fit(arguments, parts, train):
    few = ["--config.data.train_examples=8", "--config.data.test_examples=4"]
    line = train(*arguments, *few)
    for part in parts:
        assert part in line


def test_an_image_too_small_for_the_network(train):
    line = train("--config=configs/lenet.py", "--config.data.image_size=4")
    assert "4" in line


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("def get_config():\n    return 1 +\n", ["line 2", "SyntaxError"]),
        ("def get_config():\n    x = 1\n    return x / 0\n", ["line 3", "division"]),
        ("import cnn_jax.nothing\n", ["line 1", "cnn_jax.nothing"]),
        (
            "def get_config():\n    raise ValueError('a\\nb')\n",
            ["line 2", "ValueError"],
        ),
        ("x = 1\n", ["get_config"]),
        ("def get_config():\n    pass\n", ["get_config"]),
        ("def get_config():\n    return {'seed': 1}\n", ["get_config"]),
        (None, ["no config file", "recipe.py", "other.py"]),
    ],
)
def test_a_broken_config_file(text, parts, train, tmp_path):
    (tmp_path / "other.py").write_text("")
    path = tmp_path / "recipe.py"
    if text is not None:
        path.write_text(text)
    line = train(f"--config={path}")
    for part in parts:
        assert part in line


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ("config.optimizer.learning_rat = 1.0", ["optimizer.learning_rate'?"]),
        ("config.optimizer.b1 = 0.5", ["'config.optimizer.b1'", "optimizer 'sgd'"]),
        ("config.optimzer = {}", ["'optimizer'?"]),
        ("config.data.batch_size = '8'", ["data.batch_size must be of type int"]),
        ("config.data.batch_size = 8.0", ["data.batch_size must be of type int"]),
        ("config.checkpoint.keep = True", ["checkpoint.keep must be of type int"]),
        ("config.train.epochs = float('nan')", ["epochs"]),
        (
            "config.train.steps = 3; config.train.epochs = 1",
            ["config.train sets steps and epochs"],
        ),
        ("config.seed = 1.5", ["config.seed must be of type int"]),
        ("config.model.name = 'resnet2'", ["unknown model", "resnet20"]),
        ("config.model = 'resnet20'", ["config.model"]),
        ("del config.data.name", ["config.data.name"]),
    ],
)
def test_a_mistake_in_a_config_file(change, parts, train, tmp_path):
    path = tmp_path / "recipe.py"
    path.write_text(
        "from cnn_jax.training.config import default\n\n\n"
        f"def get_config():\n    config = default()\n    {change}\n    return config\n"
    )
    line = train(f"--config={path}")
    for part in parts:
        assert part in line


def test_a_config_file_that_is_no_python(train):
    assert "README.md" in train("--config=README.md")


def test_an_argument_that_the_config_file_does_not_know(train, tmp_path):
    line = train("--config=configs/resnet.py:cifar")
    assert "unknown argument" in line and "'cifar10'?" in line and "imagenet" in line
    (tmp_path / "recipe.py").write_text("def get_config():\n    pass\n")
    assert "argument" in train(f"--config={tmp_path / 'recipe.py'}:mnist")


@pytest.mark.parametrize(
    ("command", "arguments", "part"),
    [
        ("main", [], "--config"),
        ("main", ["--config=configs/mlp.py", "--smok"], "--smok"),
        ("main", ["--config=configs/mlp.py", "--config.seed"], "--config.seed"),
        ("main", ["--config=configs/mlp.py", "--mode=test"], "--mode"),
        ("summary", [], "--config and --model"),
        ("summary", ["--config=configs/mlp.py", "--model=mlp"], "--config and --model"),
        ("summary", ["--model=mlp", "--input_shape=8,8"], "HEIGHT,WIDTH,CHANNELS"),
        ("summary", ["--model=mlp", "--input_shape=8,8,0"], "HEIGHT,WIDTH,CHANNELS"),
        ("summary", ["--model=mlp", "--input_shape=8,8,a"], "--input_shape"),
        ("summary", ["--model=mlp", "--config.seed=1"], "--config"),
        ("summary", ["--model=mlp", "--format=html"], "--format"),
        ("summary", ["--config=configs/mlp.py", "--num_classes=3"], "num_classes"),
        ("summary", ["--model=mlp", "--num_classes=0"], "num_classes"),
        ("summary", ["--model=mlp", "--num_classes=-3"], "num_classes"),
        ("evaluate", [], "--workdir"),
        ("predict", ["--workdir=x"], "IMAGE_OR_FOLDER"),
        ("predict", ["--workdir=x", "a.png", "--top_k=0"], "--top_k"),
        ("predict", ["--workdir=x", "a.png", "--top_k=two"], "--top_k"),
    ],
)
def test_usage(command, arguments, part, call):
    code, out, err = call(command, *arguments)
    assert code in (1, 2) and out == "" and len(err.splitlines()) == 1
    assert part in the_line(err)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--model=resnet2"], ["unknown model", "resnet20"]),
        (["--model=lenet5", "--input_shape=8,8,1"], ["does not fit"]),
        (["--config=configs/mlp.py", "--config.model.hiden=3"], ["config.model.hidd"]),
    ],
)
def test_summary_of_what_is_not(arguments, parts, refused):
    line = refused("summary", *arguments)
    for part in parts:
        assert part in line


# -------------------------------------------------------------------- the data


def test_a_set_that_is_not_prepared(train, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "sets"))
    line = train("--config=configs/resnet.py:mnist")
    assert "tfds:mnist is not prepared" in line and str(tmp_path / "sets") in line
    assert "needs the name of a data set" in train(
        "--config=configs/resnet.py:mnist", "--config.data.name=tfds:"
    )


@pytest.mark.parametrize("state", ["not set", "missing", "a file", "empty", "no class"])
def test_a_data_folder_without_data(state, train, tmp_path):
    folder = tmp_path / "pets"
    arguments = ["--config=configs/resnet.py:folder"]
    expected = "data.dir is not set"
    if state != "not set":
        arguments.append(f"--config.data.dir={folder}")
        expected = str(folder)
    if state == "a file":
        folder.write_text("")
    elif state != "missing":
        folder.mkdir()
    if state == "no class":
        Image.new("RGB", (8, 8)).save(folder / "0.png")
    assert expected in train(*arguments)


@pytest.mark.parametrize("kind", ["garbage", "truncated", "empty"])
def test_a_corrupt_picture(kind, train, pictures):
    path = pictures / "dog" / "3.png"
    path.write_bytes(
        {
            "garbage": b"not a picture",
            "truncated": path.read_bytes()[:90],
            "empty": b"",
        }[kind]
    )
    line = train("--config=configs/resnet.py:folder", f"--config.data.dir={pictures}")
    assert str(path) in line


@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.full), 2])
def test_a_corrupt_picture_in_a_stream(workers, launch, pictures, tmp_path):
    """The picture is read during the run, in another process."""
    path = pictures / "dog" / "3.png"
    path.write_bytes(path.read_bytes()[:90])
    process = launch(
        "main",
        "--config=configs/mlp.py",
        "--config.data.name=folder",
        f"--config.data.dir={pictures}",
        "--config.data.image_size=8",
        "--config.data.in_memory=False",
        f"--config.data.workers={workers}",
        "--config.data.batch_size=4",
        "--config.model.hidden=4",
        f"--workdir={tmp_path / 'run'}",
    )
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert str(path) in the_line(err)


@pytest.mark.parametrize("kind", ["garbage", "absent", "an empty folder"])
def test_pictures_that_cannot_be_predicted(kind, refused, trained, tmp_path):
    folder = tmp_path / "new"
    folder.mkdir()
    Image.new("L", (8, 8)).save(folder / "good.png")
    bad = folder / "bad.png"
    if kind == "garbage":
        bad.write_bytes(b"not a picture")
    elif kind == "an empty folder":
        bad.mkdir()
    before = files(trained)
    arguments = [folder] if kind == "garbage" else [folder / "good.png", bad]
    assert str(bad) in refused("predict", f"--workdir={trained}", *arguments)
    assert files(trained) == before


@pytest.mark.parametrize(
    "key", ["data.batch_size", pytest.param("eval.batch_size", marks=pytest.mark.full)]
)
def test_a_batch_that_the_devices_do_not_divide(key, run, tmp_path):
    workdir = tmp_path / "runs" / "run"
    err = run(
        "main", *TINY, f"--config.{key}=7", f"--workdir={workdir}", env=TWO, code=1
    )
    line = the_line(err)
    assert f"config.{key}=7" in line and "2 devices" in line and "such as 8" in line
    assert not workdir.parent.exists()


# ------------------------------------------------------------------ the folder


def test_a_folder_of_another_config(refused, trained):
    before = files(trained)
    line = refused(
        "main",
        "--config=configs/mlp.py",
        "--smoke",
        f"--workdir={trained}",
        "--config.optimizer.learning_rate=0.5",
        "--config.seed=3",
    )
    assert "optimizer.learning_rate: 0.002 (now 0.5); seed: 0 (now 3)" in line
    assert "--overwrite" in line and str(trained) in line
    line = refused(
        "main",
        "--config=configs/mlp.py",
        "--smoke",
        f"--workdir={trained}",
        "--config.model.name=lenet5",
        "--config.model.padding=(2, 2)",
        "--mode=eval",
    )
    assert "model.name: 'mlp' (now 'lenet5')" in line
    assert files(trained) == before


def test_overwriting_with_a_mistake_removes_nothing(refused, run_copy):
    before = files(run_copy)
    arguments = [*TINY, f"--workdir={run_copy}", "--overwrite"]
    for mistake in (
        "--config.data.name=nothing",
        "--config.seed=-1",
        "--config.data.batch_size=0",
        "--config.train.steps=0",
    ):
        refused("main", *arguments, mistake)
        assert files(run_copy) == before


def test_a_file_as_the_folder(refused, tmp_path):
    path = tmp_path / "run"
    path.write_text("mine")
    for more in ([], ["--overwrite"]):
        line = refused("main", *TINY, f"--workdir={path}", *more)
        assert f"{path} is a file" in line
    for command in (["evaluate"], ["predict", path]):
        assert str(path) in refused(command[0], f"--workdir={path}", *command[1:])
    assert str(path) in refused("main", *TINY, f"--workdir={path / 'below'}")
    assert path.read_text() == "mine"


@pytest.mark.parametrize("command", [["evaluate"], ["predict", "picture.png"]])
def test_a_folder_without_a_run(command, refused, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "picture.png")
    command = [*command[:1], *(tmp_path / name for name in command[1:])]
    for folder in (tmp_path, tmp_path / "absent"):
        line = refused(command[0], f"--workdir={folder}", *command[1:])
        assert f"{folder} is not a run's folder" in line
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("state", ["no folder", "an empty folder"])
def test_a_run_without_a_checkpoint(state, refused, run_copy, tmp_path):
    shutil.rmtree(run_copy / "checkpoints")
    if state == "an empty folder":
        (run_copy / "checkpoints").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "0.png")
    before = files(run_copy)
    for command in (["evaluate"], ["predict", tmp_path / "0.png"]):
        line = refused(command[0], f"--workdir={run_copy}", *command[1:])
        assert "no checkpoint in" in line and str(run_copy) in line
    assert files(run_copy) == before


def test_a_checkpoint_or_split_that_is_not_there(refused, trained):
    before = files(trained)
    for name in ("999", "newest", "-1"):
        line = refused("evaluate", f"--workdir={trained}", f"--checkpoint={name}")
        assert f"unknown checkpoint '{name}'" in line
        assert "best, last" in line and "4" in line.split("Known: ")[1]
    line = refused("evaluate", f"--workdir={trained}", "--split=tests")
    assert "unknown split 'tests'" in line and "'test'?" in line and "train" in line
    assert files(trained) == before


def test_a_damaged_checkpoint(call, run, run_copy):
    """The one that was asked for, not another."""
    for path in (run_copy / "checkpoints").rglob("*"):
        if path.is_file() and path.parent.name == "d":
            path.write_bytes(path.read_bytes()[:10])
    err = run("evaluate", f"--workdir={run_copy}", "--checkpoint=last", code=1)
    assert "checkpoint of step 4" in the_line(err) and len(err.splitlines()) == 1
    (run_copy / "results.json").unlink()
    code, _, err = call(
        "main", "--config=configs/mlp.py", "--smoke", f"--workdir={run_copy}"
    )
    assert code == 1 and "can be read" in the_line(err)


def test_a_damaged_config_json(refused, run_copy):
    for text in ("{", "", '{"name": "another program"}'):
        (run_copy / "config.json").write_text(text)
        for command in (
            ["evaluate"],
            ["main", "--config=configs/mlp.py", "--smoke"],
        ):
            line = refused(command[0], f"--workdir={run_copy}", *command[1:])
            assert "config" in line
        assert (run_copy / "config.json").read_text() == text


# -------------------------------------------------------------------- the disk


@pytest.fixture
def disk(tmp_path):
    """`disk(size)`: a small disk of its own, given up after the test."""
    mounted = []

    def mount(size):
        folder = tmp_path / "disk"
        folder.mkdir()
        if os.geteuid() != 0 or not shutil.which("mount"):
            pytest.skip("only root can mount a small disk")
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


def make_read_only(folder):
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)


def fill(folder):
    with open(folder / "filler", "wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def test_too_little_space_from_the_start(disk, refused):
    folder = disk("200k")
    line = refused(
        "main",
        "--config=configs/mlp.py",
        "--config.model.hidden=(256, 256)",
        f"--workdir={folder / 'run'}",
    )
    assert "MB free" in line and "MB: take another --workdir" in line
    assert list(folder.iterdir()) == []


def test_a_read_only_disk(disk, refused):
    folder = disk("10m")
    make_read_only(folder)
    line = refused("main", *TINY, f"--workdir={folder / 'run'}")
    assert "Read-only file system" in line and str(folder) in line


def test_a_finished_run_on_a_read_only_disk_can_be_used(disk, call, trained, tmp_path):
    folder = disk("20m")
    workdir = shutil.copytree(trained, folder / "run")
    make_read_only(folder)
    Image.new("L", (8, 8)).save(tmp_path / "0.png")
    for command, *more in (
        ["evaluate"],
        ["predict", tmp_path / "0.png"],
        ["main", "--config=configs/mlp.py", "--smoke"],
        ["main", "--config=configs/mlp.py", "--smoke", "--mode=eval"],
    ):
        code, out, err = call(command, f"--workdir={workdir}", *more)
        assert code == 0 and out, err
    code, _, err = call(
        "main",
        "--config=configs/mlp.py",
        "--smoke",
        f"--workdir={workdir}",
        "--overwrite",
    )
    assert code == 1 and "Read-only file system" in the_line(err)


@pytest.mark.parametrize(
    "full_for", [pytest.param("the log", marks=pytest.mark.full), "the checkpoints"]
)
def test_a_disk_that_fills_up_while_the_run_is_under_way(full_for, disk, launch):
    folder = disk("30m")
    often, seldom = 20, 10**6
    log, save = (often, seldom) if full_for == "the log" else (seldom, often)
    workdir = folder / "run"
    process = launch(
        "main",
        *TINY,
        "--config.train.steps=1_000_000",
        f"--config.train.log_every_steps={log}",
        f"--config.eval.every_steps={seldom}",
        f"--config.checkpoint.every_steps={save}",
        f"--workdir={workdir}",
    )
    deadline = time.monotonic() + 60

    def begun():
        if full_for == "the log":
            return (workdir / "metrics.jsonl").exists() and (
                workdir / "metrics.jsonl"
            ).stat().st_size
        return any(p.name.isdigit() for p in (workdir / "checkpoints").glob("*"))

    while not begun():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    fill(folder)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert "No space left on device" in the_line(err)


# ------------------------------------------------------------------ divergence


def test_a_loss_that_is_not_finite_at_once(call, tmp_path):
    code, _, err = call(
        "main",
        *TINY,
        "--config.optimizer.learning_rate=1e30",
        "--config.train.steps=20",
        "--config.train.log_every_steps=5",
        f"--workdir={tmp_path / 'run'}",
    )
    assert code == 1
    line = the_line(err)
    assert "the loss is " in line and " at step " in line
    assert "There is no " in line and "checkpoint" in line and "learning_rate" in line
    assert not (tmp_path / "run" / "results.json").exists()


@pytest.mark.parametrize(
    ("every", "good"), [(4, 8), pytest.param(3, 9, marks=pytest.mark.full)]
)
def test_a_loss_that_stops_being_finite(every, good, call, tmp_path):
    """The rate explodes at step 11: from the parameters after it no loss is finite."""
    arguments = [
        *TINY,
        "--config.schedule.name=step",
        "--config.schedule.boundaries=0.5",
        "--config.schedule.factor=1e60",
        "--config.train.steps=20",
        f"--config.checkpoint.every_steps={every}",
        f"--workdir={tmp_path / 'run'}",
    ]
    code, _, err = call("main", *arguments)
    assert code == 1
    line = the_line(err)
    assert (
        "the loss is nan at step 12." in line or "the loss is inf at step 12." in line
    )
    checkpoints = tmp_path / "run" / "checkpoints"
    assert f"last good checkpoint is of step {good} in {checkpoints}" in line
    assert (checkpoints / str(good) / "state").is_dir()
    # From it the same command gets as far again.
    code, _, err = call("main", *arguments)
    assert code == 1 and f"resuming from step {good}" in err
    assert "at step 12." in the_line(err)


def test_a_checkpoint_with_the_broken_parameters_is_not_called_good(call, tmp_path):
    """The parameters of step 11 give the loss of step 12, which is not finite."""
    code, _, err = call(
        "main",
        *TINY,
        "--config.schedule.name=step",
        "--config.schedule.boundaries=0.5",
        "--config.schedule.factor=1e60",
        "--config.train.steps=20",
        "--config.checkpoint.every_steps=11",
        f"--workdir={tmp_path / 'run'}",
    )
    assert code == 1
    line = the_line(err)
    assert "at step 12." in line and "good checkpoint is of step 11" not in line


def test_the_last_results_are_json(trained):
    """Nothing that a strict reader refuses, such as NaN."""
    for name in ("results.json", "config.json"):
        json.loads((trained / name).read_text(), parse_constant=pytest.fail)


def test_overwrite_leaves_a_folder_alone_that_is_no_run(call, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "model.pt").write_text("somebody's")
    for flags in ([], ["--overwrite"]):
        code, _, err = call("main", *TINY, *flags, f"--workdir={tmp_path}")
        assert code == 1 and "is not a run's folder" in the_line(err)
    assert [p.name for p in tmp_path.rglob("*")] == ["checkpoints", "model.pt"]


def test_data_that_changed_since_the_run_began(call, tmp_path):
    """The same folder with a picture more is not what the network was trained on."""
    data = tmp_path / "data"
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (data / split / name).mkdir(parents=True)
            for number in range(8):
                gray = 40 + 20 * number + 10 * (name == "cat")
                picture = Image.new("RGB", (9, 9), (gray,) * 3)
                picture.save(data / split / name / f"{number}.png")
    workdir = f"--workdir={tmp_path / 'run'}"
    arguments = ["--config=configs/mlp.py", "--config.data.name=folder"]
    arguments += [f"--config.data.dir={data}", "--config.data.image_size=8"]
    arguments += ["--config.data.batch_size=4", "--config.train.steps=2", workdir]
    arguments += ["--config.schedule.warmup_epochs=0"]
    assert call("main", *arguments)[0] == 0
    moved = data.rename(tmp_path / "moved")
    assert call("evaluate", workdir)[0] == 1
    there = [a.replace(str(data), str(moved)) for a in arguments]
    assert call("main", *there, "--mode=eval")[0] == 0
    Image.new("RGB", (9, 9)).save(moved / "train" / "cat" / "new.png")
    code, _, err = call("main", *there, "--mode=eval")
    line = the_line(err)
    assert code == 1 and "the data has changed" in line and "examples" in line


STYLE = [
    "--config=configs/style_transfer.py",
    "--config.data.image_size=32",
    "--config.model.stem=small",
    "--config.model.width_multiplier=0.125",
    "--config.model.style_layers=('conv1', 'fire3')",
]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--config.data.style=none.png"], "data.style is none.png, but there is no"),
        (["--config.model.style_layers=fire33"], "module of SqueezeNet 'fire33'"),
        (["--config.model.style_layers=('fire33',)"], "module of SqueezeNet 'fire33'"),
        (
            ["--config.task.layer_weights=(1, 2, 3)"],
            "2 style layers: set one weight, or one for each",
        ),
        (["--config.data.name=pictures_and_styles"], "pixels:squeezenet1_0 learns one"),
        (["--config.data.augmentations=flip"], "take 'flip' out of"),
        (["--config.optimizer.freeze=none"], "set config.optimizer.freeze=backbone"),
        (["--config.optimizer.freeze=backbone/conv1"], "freeze=backbone"),
        (["--config.model.init_from=none.pth"], "there are no weights at none.pth"),
    ],
)
def test_styles(flags, message, train):
    assert message in train(*STYLE, *flags)


def test_pictures_that_are_made_have_values_from_0_to_1(train):
    line = train("--config=configs/denoising.py", "--config.data.normalization=half")
    assert "from 0 to 1" in line and "set config.data.normalization=data" in line


def test_a_network_that_learns_no_style(train):
    line = train("--config=configs/style_transfer.py", "--config.model.name=johnson")
    assert "pictures: take pixels:NAME" in line


def test_weights_of_another_network_than_the_backbone(train, tmp_path):
    file = tmp_path / "weights.safetensors"
    safetensors.numpy.save_file({"conv.weight": np.zeros((2, 3), np.float32)}, file)
    line = train(*STYLE, f"--config.model.init_from={file}")
    assert str(file) in line and "squeezenet1_0" in line
