"""The whole program as its users run it, for every config."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from cnn_jax import data
from cnn_jax.data import digits, images, moving_digits
from cnn_jax.data.styles import embedded
from cnn_jax.runs.resolve import resolve, resolve_smoke
from cnn_jax.training import parallel
from cnn_jax.training import setup as run_lib
from cnn_jax.training.config import load_file
from cnn_jax.training.step import make_train_step

ROOT = Path(__file__).parents[1]
IMAGES = ["digits", "cifar10", "imagenet"]
CONFIGS = {
    "resnet": [*IMAGES, "cifar10_fast", "mnist", "folder"],
    "segmentation": ["scenes", "camvid", "pets"],
    "denoising": ["digits", "folder"],
    "detection": ["scenes", "voc"],
    "faces": ["digits", "folder", "finetune"],
    "localization": ["scenes"],
    "super_resolution": ["digits", "folder"],
    "mlp": ["digits", "lecture", "mnist"],
    "lenet": ["digits", "mnist"],
    "airbench": ["digits", "cifar10", "muon"],
    "alexnet": [*IMAGES, "small"],
    "gestures": ["digits", "folder"],
    "video": ["moving", "clips", "volumes", "still", "cifar10", "imagenet"],
    "densenet": IMAGES,
    "drn": IMAGES,
    "flattenednet": IMAGES,
    "googlenet": IMAGES,
    "inception": IMAGES,
    "mobilenet": IMAGES,
    "nin": IMAGES,
    "preactresnet": IMAGES,
    "resnet_strikes_back": ["digits", "a1", "a2", "a3"],
    "squeezenet": IMAGES,
    "style_transfer": ["embedded", "gatys", "johnson", "adain"],
    "transfer": ["digits", "source", "folder", "finetune"],
    "vgg": IMAGES,
}
FLAT_RESULTS = {
    "step",
    "test/loss",
    "parameters",
    "train_seconds",
    "examples_per_second",
    "config_hash",
}
# Of every training step.
MEASURED = {"loss", "objective", "gradient_norm"}
# By which checkpoints are compared, and what else is measured while training.
BEST = {
    "segmentation": ("mean_iou", "pixel_accuracy"),
    "denoising": ("psnr", "loss"),
    "detection": ("ap", "centerness"),
    "faces": ("auc", "accuracy"),
    "super_resolution": ("psnr", "loss"),
    "style_transfer": ("improvement", "style_loss"),
}


def test_every_config_file_is_listed():
    assert {path.stem for path in (ROOT / "configs").glob("[!_]*.py")} == set(CONFIGS)


SPECS = [(name, arg) for name, args in CONFIGS.items() for arg in args]
# Of the large ones, and of those that differ from others in their data alone, which
# digits stand in for, only the program is built, as long as it is quick.
BUILT_DATA = ("cifar10", "clips", "folder", "imagenet", "mnist", "volumes")
LARGE = [
    ("airbench", "muon"),
    ("alexnet", "digits"),
    ("densenet", "digits"),
    ("detection", "voc"),
    ("faces", "finetune"),
    ("googlenet", "digits"),
    ("inception", "digits"),
    ("mobilenet", "digits"),
    *(("resnet_strikes_back", arg) for arg in ("a1", "a2", "a3")),
    ("resnet", "cifar10_fast"),
    ("segmentation", "camvid"),
    ("segmentation", "pets"),
    ("style_transfer", "adain"),
    ("style_transfer", "gatys"),
    ("style_transfer", "johnson"),
    ("transfer", "finetune"),
]
ONLY_BUILT = [
    f"{name}.py:{arg}"
    for name, arg in SPECS
    if arg in BUILT_DATA or (name, arg) in LARGE
]
# One for each task that no other test here trains, and the smallest of them.
PER_TASK = ("detection.py:scenes", "localization.py:scenes", "resnet.py:digits")
PER_TASK += ("segmentation.py:scenes", "super_resolution.py:digits", "video.py:moving")
QUICK = ("super_resolution.py:digits",)


def tier(spec):
    if spec in ONLY_BUILT:
        return pytest.mark.slow
    return () if spec in QUICK else pytest.mark.full


TRAINED = [
    pytest.param(spec, marks=tier(spec))
    for spec in (f"{name}.py:{arg}" for name, arg in SPECS)
]


@pytest.mark.parametrize(("name", "arg"), SPECS)
def test_every_config_with_embedded_data_validates(name, arg):
    config = resolve(load_file(f"{ROOT}/configs/{name}.py:{arg}"))
    source, _ = data.source(config.data.name)
    if source.embedded and "val" in source.options():
        assert config.data.val


@pytest.mark.full
@pytest.mark.parametrize("spec", ONLY_BUILT)
def test_every_config_makes_a_step(spec):
    """The program of one training step is built, with shapes, and not compiled."""
    config = resolve_smoke(load_file(f"{ROOT}/configs/{spec}"), {})
    dataset = data.load(config.data.name, **run_lib.data_options(config))
    network = run_lib.network(config, dataset)
    training = run_lib.training(network, len(dataset.splits["train"]))
    state = jax.eval_shape(training.fresh_state)
    step = make_train_step(
        network.model,
        network.task,
        training.optimizer,
        augmentation=training.augmentation,
        normalize=network.normalize,
        averaging=run_lib.averaging(config, steps=1),
        phase=training.phase(0),
    )
    batch = {
        "image": jax.ShapeDtypeStruct((8, *dataset.image_shape), np.uint8),
        "label": jax.ShapeDtypeStruct(
            (8, *dataset.label_shape), dataset.splits["train"].label_type
        ),
        **{key: jax.ShapeDtypeStruct((8,), np.int32) for key in ("index", "epoch")},
    }
    mapped = jax.vmap(step, (None, 0, None), axis_name=parallel.AXIS)
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), batch)
    after, pairs = jax.eval_shape(mapped, state, one, jax.random.key(config.seed))
    shapes = lambda tree: jax.tree.map(lambda leaf: leaf.shape, tree)  # noqa: E731
    assert shapes(after) == jax.tree.map(lambda leaf: (1, *leaf.shape), state)
    _, other = BEST.get(spec.partition(".")[0], ("accuracy", "accuracy"))
    assert pairs.keys() >= MEASURED | {other}


@pytest.mark.parametrize("spec", TRAINED)
def test_every_config_trains(spec, done, rows, tmp_path):
    workdir = tmp_path / "run"
    flags = [f"--config=configs/{spec}", "--smoke", f"--workdir={workdir}"]
    if spec.startswith("transfer.py") and spec != "transfer.py:source":
        flags.append("--config.model.init_from=none")  # with it: test_transfer.py
    out = done("main", *flags)
    assert "tensorboard --logdir=" in out
    results = json.loads((workdir / "results.json").read_text())
    assert results["step"] == 4
    best, other = BEST.get(spec.partition(".")[0], ("accuracy", "accuracy"))
    expected = FLAT_RESULTS | {f"test/{best}"}
    known = json.loads((workdir / "config.json").read_text())["dataset"]
    if "val" in known["examples"]:
        expected |= {"best/step", f"best/val/{best}", f"best/test/{best}"}
    else:
        assert not any(key.startswith("best/") for key in results)
    if spec.startswith("faces"):  # whom nobody learned has no loss
        expected -= {"test/loss"}
    assert results.keys() >= expected
    assert not any(isinstance(value, dict | list) for value in results.values())
    measured = {f"train/{key}" for key in MEASURED | {other}}
    assert any(measured <= row.keys() for row in rows(workdir))


OF_COMMANDS = {
    "mlp.py": (),
    "resnet.py": pytest.mark.full,
    "video.py:still": pytest.mark.full,
}


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(
            spec,
            marks=OF_COMMANDS.get(spec, pytest.mark.slow),
        )
        for name in CONFIGS
        if name not in (*BEST, "localization", "transfer")
        for spec in [f"{name}.py:still" if name == "video" else f"{name}.py"]
    ],
)
def test_train_evaluate_predict_summary(spec, run, done, rows, tmp_path):
    # A process for each command is what users start; once is enough.
    run = run if spec == "resnet.py" else done
    config, workdir = f"--config=configs/{spec}", tmp_path / "run"
    run("main", config, "--smoke", f"--workdir={workdir}")

    measured = [row for row in rows(workdir) if "test/loss" in row]
    last = json.loads(
        run("evaluate", f"--workdir={workdir}", "--checkpoint=last", "--format=json")
    )
    assert last["step"] == measured[-1]["step"] == 4
    assert last["test/accuracy"] == measured[-1]["test/accuracy"]
    assert last["test/loss"] == measured[-1]["test/loss"]
    chosen = [row for row in rows(workdir) if "val/loss" in row]
    best = max(chosen, key=lambda row: (row["val/accuracy"], row["step"]))
    table = run("main", config, "--smoke", f"--workdir={workdir}", "--mode=eval")
    assert table.split()[:2] == ["step", str(best["step"])]

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number, image in enumerate(load_digits().images[:3]):
        scaled = (image * 255 / 16).round().astype(np.uint8)
        Image.fromarray(scaled).save(pictures / f"{number}.png")
    found = json.loads(
        run("predict", f"--workdir={workdir}", pictures, "--top_k=10", "--format=json")
    )
    assert [Path(row["image"]).name for row in found] == ["0.png", "1.png", "2.png"]
    for row in found:
        assert {p["class"] for p in row["predictions"]} == set("0123456789")
        chances = [p["probability"] for p in row["predictions"]]
        assert chances == sorted(chances, reverse=True)
        assert sum(chances) == pytest.approx(1)
    text = run("predict", f"--workdir={workdir}", pictures / "1.png", "--top_k=2")
    assert len(text.splitlines()) == 4 and "%" in text

    results = json.loads((workdir / "results.json").read_text())
    layers = json.loads(run("summary", config, "--format=json"))
    trained = layers["parameters"] + layers["training_only_parameters"]
    assert trained == results["parameters"]
    assert sum(layer["macs"] for layer in layers["layers"]) == layers["macs"]


@pytest.mark.full
@pytest.mark.parametrize("spec", [*PER_TASK, "faces.py:digits", "style_transfer.py"])
def test_every_task_with_onednn(spec, run, rows, tmp_path):
    """Processes as users start them: training, and evaluation with the same scores."""
    workdir, users = f"--workdir={tmp_path / 'run'}", {"CNN_JAX_ONEDNN": "1"}
    flags = TINY_STYLE if spec == "style_transfer.py" else ["--smoke"]
    run("main", f"--config=configs/{spec}", *flags, workdir, env=users)
    tested = [
        {key: value for key, value in row.items() if key.startswith("test/")}
        for row in rows(tmp_path / "run")
    ]
    flags = [workdir, "--checkpoint=last", "--format=json"]
    found = json.loads(run("evaluate", *flags, env=users))
    # The table of the classes is in no line of the log.
    found = {k: v for k, v in found.items() if isinstance(v, int | float)}
    scores = {key: value for key, value in found.items() if key.startswith("test/")}
    assert scores == pytest.approx([row for row in tested if row][-1], rel=1e-4)


@pytest.mark.full
def test_segmentation(run, rows, tmp_path):
    """The program with a label for every pixel."""
    config, workdir = "--config=configs/segmentation.py", tmp_path / "run"
    run("main", config, "--smoke", f"--workdir={workdir}")
    known = json.loads((workdir / "config.json").read_text())["dataset"]
    assert known["label_shape"] == [48, 48] and len(known["classes"]) == 11
    measured = [row for row in rows(workdir) if "test/loss" in row]
    last = json.loads(
        run("evaluate", f"--workdir={workdir}", "--checkpoint=last", "--format=json")
    )
    for key in ("test/loss", "test/pixel_accuracy", "test/mean_iou"):
        assert last[key] == measured[-1][key]
    # Sums of pixels over devices, of which one has more padding, are the same sums.
    two = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    split = json.loads(
        run(
            "evaluate",
            f"--workdir={workdir}",
            "--checkpoint=last",
            "--format=json",
            env=two,
        )
    )
    for key in ("test/pixel_accuracy", "test/mean_iou"):
        assert split[key] == last[key]
    assert split["test/loss"] == pytest.approx(last["test/loss"], rel=1e-5)
    results = json.loads((workdir / "results.json").read_text())
    best = max(row.get("val/mean_iou", 0) for row in rows(workdir))
    assert results["best/val/mean_iou"] == best

    Image.new("L", (60, 50)).save(tmp_path / "0.png")
    arguments = [tmp_path / "0.png", "--top_k=11", "--format=json"]
    (found,) = json.loads(run("predict", f"--workdir={workdir}", *arguments))
    shares = [row["share"] for row in found["predictions"]]
    assert sum(shares) == pytest.approx(1) and min(shares) > 0
    text = run("predict", f"--workdir={workdir}", tmp_path / "0.png", "--top_k=1")
    assert text.split()[:3] == ["image", "class", "share"]
    layers = json.loads(run("summary", config, "--format=json"))["layers"]
    assert [row["type"] for row in layers[-2:]] == ["Conv", "Resize"]
    assert layers[-1]["output_shape"] == [48, 48, 11]


@pytest.mark.full
def test_clips(done, tmp_path):
    """The program with clips in place of images."""
    workdir, out = tmp_path / "run", tmp_path / "out"
    flags = ["--config=configs/video.py", "--smoke", f"--workdir={workdir}"]
    flags += ["--config.model.stage_sizes=(1,)", "--config.model.stage_convs=('3d',)"]
    done("main", *flags)
    score = json.loads(done("evaluate", f"--workdir={workdir}", "--format=json"))
    assert 0 <= score["test/accuracy"] <= 1
    # A test clip, written to a file and read back, gets the same prediction.
    split = moving_digits.load(train_examples=40, test_examples=20).splits["test"]
    paths = []
    for number, clip in enumerate(split.images):
        paths.append(animation(tmp_path / "clips" / f"{number:02}.gif", clip))
    arguments = [tmp_path / "clips", "--top_k=16", "--format=json", f"--output={out}"]
    found = json.loads(done("predict", f"--workdir={workdir}", *arguments))
    assert [row["image"] for row in found] == list(map(str, paths))
    classes = [row["predictions"][0]["class"] for row in found]
    named = [tuple(moving_digits.MOTIONS)[label] for label in split.labels]
    right = [a == b for a, b in zip(classes, named, strict=True)]
    assert np.mean(right) == pytest.approx(score["test/accuracy"])
    assert len(list(out.iterdir())) == 20
    assert Image.open(out / "00.png").size == (8 * 128 + 7 + 2, 128 + 18 + 2)


def animation(path, clip):
    """Writes the frames of a clip, [frames, height, width, 1], as a GIF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = [Image.fromarray(frame[..., 0]) for frame in clip]
    first.save(path, save_all=True, append_images=rest)
    return path


@pytest.mark.full
def test_clips_of_the_users(done, rows, tmp_path):
    """The user's clips are learned, and scored for each clip and for each video."""
    rng, videos, workdir = (
        np.random.default_rng(0),
        tmp_path / "videos",
        tmp_path / "run",
    )
    for name, least in (("day", 150), ("night", 0)):
        for i in range(10):
            clip = rng.integers(least, least + 100, (8, 12, 16, 1), np.uint8)
            animation(videos / name / f"{i}.gif", clip)
    flags = ["--config=configs/video.py:clips", f"--config.data.dir={videos}"]
    flags += ["--config.data.image_size=8", "--config.data.frames=4"]
    flags += ["--config.data.clips_per_video=3", "--config.data.batch_size=8"]
    flags += ["--config.data.workers=0", "--config.model.stem=small"]
    flags += ["--config.model.stage_sizes=(1,)", "--config.model.stage_convs=('3d',)"]
    flags += ["--config.model.width=4", "--config.train.epochs=20"]
    done("main", *flags, f"--workdir={workdir}")
    *_, last = [row for row in rows(workdir) if "test/video_accuracy" in row]
    assert last["test/video_accuracy"] == last["test/accuracy"] == 1
    known = json.loads((workdir / "config.json").read_text())["dataset"]
    assert known["examples"] == {"train": 16, "test": 4 * 3}
    score = json.loads(done("evaluate", f"--workdir={workdir}", "--format=json"))
    assert score["test/video_accuracy"] == 1
    said = done("predict", f"--workdir={workdir}", videos / "day", "--top_k=1")
    assert said.count(" day ") == 10


@pytest.mark.full
def test_volumes_of_the_users(done, rows, tmp_path):
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, 12)] * 3, indexing="ij")
    radius, rng = np.sqrt(z**2 + y**2 + x**2), np.random.default_rng(0)
    for name, inner in (("ball", 0.0), ("shell", 0.5)):
        (tmp_path / "bodies" / name).mkdir(parents=True)
        for i in range(10):
            body = (radius >= inner) & (radius < rng.uniform(0.7, 0.9))
            noisy = body + rng.normal(0, 0.1, body.shape)
            np.save(tmp_path / "bodies" / name / f"{i}.npy", noisy)
    workdir, out = tmp_path / "run", tmp_path / "out"
    flags = ["--config=configs/video.py:volumes", "--config.data.image_size=8"]
    flags += [f"--config.data.dir={tmp_path / 'bodies'}"]
    flags += ["--config.data.augmentations=()", "--config.data.batch_size=8"]
    flags += ["--config.model.stem=small", "--config.optimizer.learning_rate=0.1"]
    flags += ["--config.model.stage_sizes=(1,)", "--config.model.stage_convs=('3d',)"]
    flags += ["--config.model.width=4", "--config.train.epochs=20"]
    done("main", *flags, f"--workdir={workdir}")
    *_, last = [row for row in rows(workdir) if "test/accuracy" in row]
    assert last["test/accuracy"] == 1
    said = done(
        "predict",
        f"--workdir={workdir}",
        tmp_path / "bodies" / "ball",
        "--top_k=1",
        f"--output={out}",
    )
    assert said.count(" ball ") == 10 and len(list(out.iterdir())) == 10


def test_summary_by_name(call):
    code, out, _ = call("summary", "--model=resnet50", "--format=json")
    found = json.loads(out)
    assert code == 0 and found["parameters"] == 25_557_032
    assert found["macs"] == pytest.approx(4.089e9, rel=0.01)
    code, out, _ = call(
        "summary", "--model=lenet5", "--num_classes=10", "--input_shape=32,32,1"
    )
    assert code == 0 and "61,706" in out
    code, out, _ = call("summary", "--config=configs/mlp.py:lecture")
    assert code == 0 and "28,326" in out


@pytest.mark.parametrize(
    ("spec", "parameters"),
    [("imagenet", 25_557_032), ("cifar10", 269_722)],
)
def test_summary_needs_no_prepared_data(spec, parameters, call, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    code, out, _ = call("summary", f"--config=configs/resnet.py:{spec}")
    assert code == 0 and f"{parameters:,}" in out


def test_the_same_command_again_prints_the_result(trained, call):
    before = {p: p.stat().st_mtime_ns for p in trained.rglob("*") if p.is_file()}
    arguments = ["--config=configs/mlp.py", "--smoke", f"--workdir={trained}"]
    code, out, _ = call("main", *arguments)
    assert code == 0 and "is complete" in out and "test/accuracy" in out
    assert before == {
        p: p.stat().st_mtime_ns for p in trained.rglob("*") if p.is_file()
    }


@pytest.mark.full
def test_overwrite_starts_again_and_leaves_other_files(call, tmp_path):
    workdir = tmp_path / "run"
    arguments = ["--config=configs/mlp.py", "--smoke", f"--workdir={workdir}"]
    assert call("main", *arguments)[0] == 0
    (workdir / "notes.txt").write_text("mine")
    first = (workdir / "metrics.jsonl").read_text()
    code, out, _ = call("main", *arguments, "--overwrite", "--config.seed=1")
    assert code == 0 and "resuming" not in out
    assert (workdir / "metrics.jsonl").read_text() != first
    assert (workdir / "notes.txt").read_text() == "mine"
    assert len(list(workdir.glob("events.*"))) == 1


def test_config_json_says_what_ran(trained):
    found = json.loads((trained / "config.json").read_text())
    assert found["config"]["optimizer"]["name"] == "adamw"
    assert found["config"]["optimizer"]["b1"] == 0.9  # defaults are spelled out
    assert found["dataset"]["examples"] == {
        "train": 40,
        "val": 8,
        "test": 20,
    }
    assert found["versions"]["jax"]
    results = json.loads((trained / "results.json").read_text())
    assert results["config_hash"] == found["config_hash"]


def test_a_run_keeps_its_predictions(trained):
    results = json.loads((trained / "results.json").read_text())
    with np.load(trained / "predictions" / "test.npz") as found:
        right = found["label"] == found["prediction"]
        assert right.mean() == pytest.approx(results["test/accuracy"])
        assert found["loss"].mean() == pytest.approx(results["test/loss"], rel=1e-5)
        assert found["identity"].tolist() == [f"test/{i}" for i in range(20)]


def test_predict_sees_what_evaluation_saw(trained, done, tmp_path):
    """A test image, written to a file and read back, gets the same prediction."""
    split = digits.SOURCE.load(train_examples=40, test_examples=20).splits["test"]
    for number, image in enumerate(split.images):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{number:02}.png")
    found = json.loads(
        done("predict", f"--workdir={trained}", tmp_path, "--top_k=1", "--format=json")
    )
    right = [
        row["predictions"][0]["class"] == str(label)
        for row, label in zip(found, split.labels, strict=True)
    ]
    score = json.loads(done("evaluate", f"--workdir={trained}", "--format=json"))
    assert np.mean(right) == pytest.approx(score["test/accuracy"])


def test_predict_writes_pictures(trained, call, done, tmp_path):
    gray = Image.fromarray(np.full((8, 8), 99, np.uint8))
    files = [tmp_path / "in" / name for name in ("3.png", "a/3.png", "a/3.gif")]
    (tmp_path / "in" / "a").mkdir(parents=True)
    for path in files[:2]:
        gray.save(path)
    out, run = tmp_path / "out", f"--workdir={trained}"
    done("predict", run, tmp_path / "in", f"--output={out}")
    written = [out / "3.png", out / "a" / "3.png"]  # in folders as they were
    assert sorted(path for path in out.rglob("*") if path.is_file()) == written
    assert all(Image.open(path).size[0] >= 128 for path in written)
    gray.save(files[2])
    (tmp_path / "file").touch()
    for where, name, message in (
        (tmp_path / "in", "new", "would both be written to"),
        (files[0], "in", "holds the input pictures"),
        (files[0], "file", "is a file: name a folder"),
    ):
        code, found, err = call("predict", run, where, f"--output={tmp_path / name}")
        assert (code, found) == (1, "") and message in err and err.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.full
def test_predict_writes_masks(done, tmp_path):
    workdir, out = tmp_path / "run", tmp_path / "out"
    config = "--config=configs/segmentation.py"
    done("main", config, "--smoke", f"--workdir={workdir}", "--config.model.width=4")
    Image.fromarray(np.full((60, 60), 99, np.uint8)).save(tmp_path / "scene.png")
    said = done(
        "predict", f"--workdir={workdir}", tmp_path / "scene.png", f"--output={out}"
    )
    assert "share" in said and "%" in said
    width, height = Image.open(out / "scene.png").size
    assert width >= 2 * 240 and height > 240  # the picture, the mask, a legend


TINY_STYLE = [
    "--config.data.image_size=32",
    "--config.model.stem=small",
    "--config.model.width_multiplier=0.125",
    "--config.model.content_layers=('fire4',)",
    "--config.model.style_layers=('conv1', 'fire3')",
    "--config.schedule.warmup_steps=0",
    "--config.train.steps=2",
    "--config.train.log_every_steps=1",
]


@pytest.mark.full
def test_predict_writes_the_picture_of_a_run_of_one(done, call, tmp_path):
    workdir, out = tmp_path / "run", tmp_path / "out"
    config, file = "--config=configs/style_transfer.py", embedded("china.jpg")
    done("main", config, *TINY_STYLE, f"--workdir={workdir}")
    said = done("predict", f"--workdir={workdir}", file, f"--output={out}")
    assert said.split()[:3] == ["image", "width", "height"]
    made, content = (
        np.asarray(Image.open(out / "china.png")),
        images.fit(file, (32, 32, 3)),
    )
    assert made.shape == (32, 32, 3)
    assert 0 < np.abs(made.astype(int) - content).mean() < 20  # after two steps
    for flags, message in (
        ([embedded("coffee.png")], "was trained on one picture, an embedded picture"),
        ([file, f"--style={file}"], "takes no style image"),
    ):
        code, _, err = call("predict", f"--workdir={workdir}", *flags)
        assert code == 1 and message in err and err.count("\n") == 1


@pytest.mark.full
@pytest.mark.parametrize("kind", ["johnson", "adain"])
def test_predict_gives_pictures_a_style(kind, done, call, tmp_path):
    workdir, out = tmp_path / "run", tmp_path / "out"
    flags = [f"--config=configs/style_transfer.py:{kind}", *TINY_STYLE]
    if kind == "johnson":
        flags.append("--config.model.network_width=4")
    done("main", *flags, f"--workdir={workdir}")
    ramp = np.arange(31 * 42 * 3).reshape(31, 42, 3) % 251
    Image.fromarray(ramp.astype(np.uint8)).save(tmp_path / "A.png")
    Image.fromarray(ramp.astype(np.uint8)[..., 0]).save(tmp_path / "gray.png")
    style = [f"--style={embedded('coffee.png')}"]
    wanted, other = ([], style) if kind == "johnson" else (style, [])
    files = [tmp_path / "A.png", tmp_path / "gray.png"]
    done("predict", f"--workdir={workdir}", *files, *wanted, f"--output={out}")
    for file in files:
        made = Image.open(out / file.name)
        assert made.size == (42, 31) and made.mode == "RGB"
    code, _, err = call("predict", f"--workdir={workdir}", files[0], *other)
    assert code == 1 and "--style" in err and err.count("\n") == 1


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """dir/<digit>/<n>.png: two pictures of each of four digits."""
    folder = tmp_path_factory.mktemp("people")
    known = load_digits()
    for digit in range(4):
        (folder / str(digit)).mkdir()
        for n, image in enumerate(known.images[known.target == digit][:2]):
            gray = Image.fromarray((image * 255 / 16).astype(np.uint8))
            gray.save(folder / str(digit) / f"{n}.png")
    return folder


@pytest.mark.full
def test_verify_and_identify(done, call, trained, people, tmp_path):
    workdir, out = tmp_path / "run", "--format=json"
    done("main", "--config=configs/faces.py", "--smoke", f"--workdir={workdir}")
    run = f"--workdir={workdir}"
    first, second = people / "1" / "0.png", people / "1" / "1.png"

    def verified(*pair, flags=()):
        ((answer,),) = [
            row["predictions"]
            for row in json.loads(done("predict", run, "--verify", *pair, *flags, out))
        ]
        return answer

    alike = verified(first, first)
    assert alike["same"] is True and alike["cosine"] == pytest.approx(1)
    assert verified(first, second) == verified(second, first)
    assert verified(first, second, flags=["--threshold=1.1"])["same"] is False
    measured = [json.loads(row) for row in (workdir / "metrics.jsonl").open()]
    thresholds = [row["val/threshold"] for row in measured if "val/auc" in row]
    assert alike["threshold"] in thresholds

    flags = ["--identify", f"--gallery={people}", "--threshold=-1", out]
    (row,) = json.loads(done("predict", run, first, *flags))
    names = [answer["identity"] for answer in row["predictions"]]
    assert names[0] == "1" and sorted(names) == ["0", "1", "2", "3"]
    flags[2] = "--threshold=1.1"
    (row,) = json.loads(done("predict", run, second, *flags))
    assert [answer["identity"] for answer in row["predictions"]] == [None]
    # What was compared stands side by side.
    shown = f"--output={tmp_path / 'shown'}"
    done("predict", run, "--verify", first, second, shown)
    done("predict", run, people / "2", *flags, shown)
    written = sorted((tmp_path / "shown").iterdir())
    assert [path.name for path in written] == ["0-1.png", "0.png", "1.png"]
    assert {Image.open(path).size for path in written} == {(16 * 8 * 2 + 3, 148)}
    for arguments, code, message in (
        ([run, "--verify", first, second, f"--output={first}"], 1, "is a file"),
        ([run, "--verify", first], 2, "two pictures"),
        ([run, "--identify", first], 2, "need each other"),
        ([run, first, "--threshold=1"], 2, "--threshold needs"),
        ([f"--workdir={trained}", "--verify", first, second], 1, "no embeddings"),
    ):
        found, _, err = call("predict", *arguments)
        assert found == code and message in err and err.count("\n") == 1


@pytest.mark.full
def test_smoke_takes_the_flags_of_the_config_that_it_stands_in_for(call, tmp_path):
    arguments = ["--config=configs/resnet.py:folder", "--config.data.dir=/nowhere"]
    arguments += ["--config.model.stage_sizes=(1,)", f"--workdir={tmp_path / 'run'}"]
    code, _, err = call("main", *arguments, "--smoke")
    assert code == 0, err
    code, _, err = call("main", *arguments, "--smoke", "--config.data.dri=3")
    assert code == 1 and "data.dir" in err


@pytest.mark.parametrize(
    ("spec", "flags"),
    [
        ("faces.py:folder", ["--config.data.dir=/nowhere"]),
        (
            "segmentation.py:camvid",
            [
                "--config.data.dir=/nowhere",
                "--config.data.classes=('road', 'other', 'car')",
                "--config.task.class_weights=(1, 2, 3)",
            ],
        ),
    ],
)
def test_smoke_takes_nothing_that_is_elsewhere(spec, flags):
    """No data of the user's, and nothing that fits their classes alone."""
    values = load_file(f"{ROOT}/configs/{spec}")
    overrides = dict(flag.removeprefix("--config.").split("=", 1) for flag in flags)
    config = resolve_smoke(values, overrides)
    found = data.load(config.data.name, **run_lib.data_options(config))
    run_lib.network(config, found)


@pytest.mark.full
def test_a_reader_that_leaves_does_not_end_the_run(launch, tmp_path):
    """An example is `python -m cnn_jax.main ... 2>&1 | head -1`."""
    process = launch(
        "main", "--config=configs/mlp.py", "--smoke", f"--workdir={tmp_path / 'run'}"
    )
    process.stderr.close()
    process.stdout.readline()
    process.stdout.close()
    process.wait(timeout=120)
    assert (tmp_path / "run" / "results.json").exists()
