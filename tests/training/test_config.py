"""Configs: lengths in every unit, hashes, differences, and all the recipes."""

import copy
import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ml_collections import FrozenConfigDict

from cnn_jax import data
from cnn_jax.core.errors import UserError
from cnn_jax.runs.resolve import resolve
from cnn_jax.runs.smoke import OF_CLASSES, smoke
from cnn_jax.training import config as config_lib
from cnn_jax.training.config import as_dict, flat, hash_of, steps_in

ROOT = Path(__file__).parents[2]


def adamw():
    return {
        "data": {"name": "digits", "batch_size": 8},
        "model": {"name": "mlp", "hidden": [4, 3]},
        "task": {"name": "classification", "label_smoothing": 0},
        "optimizer": {"name": "adamw", "learning_rate": 1, "b1": 0.8},
        "schedule": {"name": "cosine", "warmup_epochs": 2},
        "train": {"epochs": 3},
        "eval": {},
        "checkpoint": {},
    }


def every_recipe():
    """(name, values) of every config file with every argument that it knows."""
    for path in sorted((ROOT / "configs").glob("[!_]*.py")):
        with pytest.raises(UserError, match="unknown argument") as error:
            config_lib.load_file(f"{path}:no_such_argument")
        known = str(error.value).split("Known: ")[1].rstrip(".").split(", ")
        for argument in known:
            yield f"{path.stem}:{argument}", config_lib.load_file(f"{path}:{argument}")


# ------------------------------------------------------------------- durations


def group(name, **given):
    prefix = f"{name}_" if name else ""
    units = {f"{prefix}{unit}": None for unit in ("steps", "epochs", "examples")}
    return FrozenConfigDict(
        units | {f"{prefix}{unit}": value for unit, value in given.items()}
    )


@given(
    st.sampled_from(["", "every", "warmup"]),
    st.integers(1, 2000),
    st.integers(1, 2_000_000),
    st.integers(0, 1_000_000),
)
def test_lengths_in_every_unit(name, batch_size, examples, count):
    sizes = {"batch_size": batch_size, "examples": examples}
    assert steps_in(group(name, steps=count), name, **sizes) == count
    steps = steps_in(group(name, examples=count), name, **sizes)
    assert (steps - 1) * batch_size < count <= steps * batch_size
    # The same number of examples, as a number of epochs.
    assert steps_in(group(name, epochs=count / examples), name, **sizes) == steps
    assert steps_in(group(name), name, **sizes) is None


@given(st.integers(1, 2000), st.integers(1, 2_000_000), st.integers(1, 300))
def test_whole_and_half_epochs(batch_size, examples, epochs):
    sizes = {"batch_size": batch_size, "examples": 2 * examples}
    for length in (Fraction(epochs), Fraction(epochs, 2)):
        steps = steps_in(group("", epochs=float(length)), "", **sizes)
        exact = length * 2 * examples / batch_size
        assert exact <= steps < exact + 1


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        ({"epochs": 2e9}, {"batch_size": 1, "examples": 10}),
        ({"examples": 2**31}, {"batch_size": 1, "examples": 10}),
        ({"examples": 10**18}, {"batch_size": 128, "examples": 10}),
        ({"steps": 2**31 - 1}, {"batch_size": 128, "examples": 10}),  # its epochs
    ],
)
def test_steps_and_epochs_have_32_bits(given, sizes):
    with pytest.raises(UserError, match=r"every_.* at most 2,147,483,647 steps"):
        steps_in(group("every", **given), "every", **sizes)
    assert steps_in(group("", steps=2**31 - 1), "", batch_size=1, examples=1) > 0


def test_a_part_of_a_step_is_a_step():
    assert steps_in(group("", epochs=1e-9), "", batch_size=8, examples=10) == 1
    assert steps_in(group("", epochs=0.0), "", batch_size=8, examples=10) == 0


# --------------------------------------------------------- hashes, differences


def reordered(values):
    return {
        key: reordered(value) if isinstance(value, dict) else value
        for key, value in reversed(values.items())
    }


def test_the_hash_is_that_of_the_values():
    config = resolve(adamw())
    assert hash_of(resolve(reordered(adamw()))) == hash_of(config)
    explicit = as_dict(config)
    assert hash_of(resolve(explicit)) == hash_of(config)
    assert len(hash_of(config)) == 12 and int(hash_of(config), 16) >= 0
    seen = {hash_of(config)}
    for key, value in flat(config).items():
        owner, _, name = key.rpartition(".")
        changed = copy.deepcopy(explicit)
        (changed[owner] if owner else changed)[name] = [value, "other"]
        seen.add(hash_of(FrozenConfigDict(changed)))
    # Where the data lies, and how many processes read it, makes no other run.
    assert "data.workers" in flat(config)
    assert len(seen) == 1 + len(flat(config)) - len(
        config_lib.NOT_IDENTITY & flat(config).keys()
    )


def test_augmentations_count_if_there_are_any():
    config = resolve(adamw())
    assert config.data.augmentations == ()
    assert "data.augmentations" not in config_lib.identity(config)
    hashes = {
        hash_of(resolve(adamw(), {"data.augmentations": text}))
        for text in ("", "flip", "flip()", "flip(probability=0.5)", "crop, flip")
    }
    assert hash_of(config) in hashes and len(hashes) == 3


def test_the_architectures_own_layers_count_if_another_is_chosen():
    own = config_lib.identity(resolve(adamw()))
    assert not {"model.norm", "model.norm_groups"} & own.keys()
    found = config_lib.identity(resolve(adamw(), {"model.norm": "group"}))
    assert found == own | {"model.norm": "group"}


def test_differences_are_named():
    ours, theirs = flat(resolve(adamw())), flat(resolve(adamw(), {"seed": "1"}))
    assert config_lib.differences(ours, ours) == []
    assert config_lib.differences(ours, theirs) == ["seed: 1 (now 0)"]
    sgd = flat(resolve(adamw(), {"optimizer.name": "sgd"}))
    lines = config_lib.differences(ours, sgd)
    assert "optimizer.b1: 'absent' (now 0.8)" in lines
    assert "optimizer.momentum: 0.9 (now 'absent')" in lines


# ----------------------------------------------------------------- the recipes


@pytest.mark.full
def test_every_recipe_resolves_and_shrinks():
    found = dict(every_recipe())
    assert {"resnet:cifar10", "resnet:imagenet", "mlp:lecture", "lenet:mnist"} <= (
        found.keys()
    )
    for values in found.values():
        config = resolve(values)
        # What is saved with a run is read back as the same config.
        stored = json.loads(json.dumps(as_dict(config)))
        assert resolve(stored) == config
        small = resolve(smoke(values))
        of_classes = {key.rpartition(".")[2] for key in OF_CLASSES}
        for kept in ("model", "task", "optimizer", "schedule"):
            for key in set(config[kept]) - of_classes:
                assert small[kept][key] == config[kept][key]
        own = config.data.name
        source, set_name = data.source(own)
        stand_in = source.stand_in_for(*set_name)
        assert small.data.name == (stand_in.name if stand_in else own)
        assert small.train.steps == 4
    assert resolve(smoke(found["resnet:imagenet"])).data.image_size == 96
    assert resolve(smoke(found["resnet:imagenet"])).data.channels == 3
    assert resolve(smoke(found["lenet:mnist"])).data.image_size == 28
    assert resolve(smoke(found["lenet:mnist"])).data.channels == 1
    scenes = resolve(smoke(found["segmentation:scenes"])).data
    assert (scenes.image_size, scenes.channels, scenes.train_examples) == (48, 1, 40)
    clips = found["video:moving"]
    clips["data"] |= {"frames": 5, "channels": 3, "image_size": 120}
    clips = resolve(smoke(clips)).data
    assert (clips.name, clips.frames, clips.channels) == ("moving_digits", 5, 3)
    assert clips.image_size == 96


# ---------------------------------------------------------------- files of configs

CONFIG = """
from cnn_jax.training.config import default

def get_config():
    config = default()
    config.model.name = NAME
    return config
"""


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_a_config_imports_what_lies_beside_it(tmp_path):
    write(tmp_path / "helpers_a.py", "NAME = 'mlp'\n")
    write(tmp_path / "base_a.py", f"from helpers_a import NAME\n{CONFIG}")
    path = write(tmp_path / "config_a.py", "from base_a import get_config\n")
    assert config_lib.load_file(path)["model"]["name"] == "mlp"


def test_two_configs_do_not_share_a_helper_by_accident(tmp_path):
    paths = []
    for folder in ("a", "b"):
        write(tmp_path / folder / "helpers_b.py", f"NAME = {folder!r}\n")
        text = f"from helpers_b import NAME\n{CONFIG}"
        paths.append(write(tmp_path / folder / "config.py", text))
    assert config_lib.load_file(paths[0])["model"]["name"] == "a"
    with pytest.raises(UserError) as error:
        config_lib.load_file(paths[1])
    for folder in ("a", "b"):
        assert f"{tmp_path / folder}/helpers_b.py" in str(error.value)


def test_the_line_of_a_fault_is_that_of_the_users_file(tmp_path):
    write(tmp_path / "helpers_c.py", "\n\nNAME = nothing\n")
    path = write(tmp_path / "config.py", f"from helpers_c import NAME\n{CONFIG}")
    place = f"{tmp_path}/helpers_c.py, line 3"
    with pytest.raises(UserError) as error:
        config_lib.load_file(path)
    assert str(error.value) == (
        f"config file '{path}' ({place}) failed: NameError: name 'nothing' is not "
        "defined"
    )
    path = write(tmp_path / "other.py", CONFIG)
    with pytest.raises(UserError, match=r"other.py', line 6, failed: NameError: name"):
        config_lib.load_file(path)


def test_recipes_that_came_with_the_package(tmp_path, monkeypatch):
    """Are found where the working directory has none of that name."""
    monkeypatch.chdir(tmp_path)
    own = write(tmp_path / "configs" / "mlp.py", CONFIG)
    assert config_lib.found("configs/mlp.py") == Path("configs/mlp.py")
    assert config_lib.found(own) == Path(own)
    for name in ("configs/resnet.py", "experiments/pooling.py"):
        assert config_lib.found(name) == ROOT / name
        assert config_lib.load_file(name)["model"]["name"]
    for name in (
        "configs/none.py",
        "resnet.py",
        "setup.cfg",
        f"{ROOT}/configs/none.py",
    ):
        assert config_lib.found(name) == Path(name)
    # Of an installed package, they lie in its folder.
    write(tmp_path / "site" / "cnn_jax" / "__init__.py", "")
    installed = write(tmp_path / "site" / "cnn_jax" / "configs" / "vgg.py", CONFIG)
    write(tmp_path / "site" / "configs" / "nin.py", CONFIG)  # another program's
    monkeypatch.setattr(
        config_lib.cnn_jax,
        "__file__",
        str(tmp_path / "site" / "cnn_jax" / "__init__.py"),
    )
    assert config_lib.found("configs/vgg.py") == Path(installed)
    assert config_lib.found("configs/nin.py") == Path("configs/nin.py")


def test_a_missing_recipe_names_those_that_there_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=r"no config file 'configs/none.py'. Config files"
    ) as e:
        config_lib.load_file("configs/none.py")
    assert " configs/mlp.py," in str(e.value) and "__init__" not in str(e.value)
