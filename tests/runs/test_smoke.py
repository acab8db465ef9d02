"""A config in small."""

import pytest

from cnn_jax import data
from cnn_jax.core import imports
from cnn_jax.core.paths import Place
from cnn_jax.data.dataset import Dataset
from cnn_jax.runs.resolve import resolve_smoke
from cnn_jax.runs.smoke import smoke, without
from cnn_jax.training.config import default


def values(**given):
    found = default().to_dict()
    return found | {"data": {"batch_size": 128, **given}}


def small(*, overriding=None, **given):
    """The group `data` of a config in small."""
    return smoke(values(**given), overriding)["data"]


def test_images_with_many_channels_are_replaced_by_colors():
    assert small(name="folder", channels=12)["channels"] == 3
    assert small(name="folder", channels=1)["channels"] == 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"name": "digits"}, {"name": "digits", "image_size": 8}),
        ({"name": "digit_scenes", "image_size": 120}, {"image_size": 96}),
        ({"name": "identities", "dir": "faces"}, {"image_size": (8,), "dir": None}),
        ({"name": "picture_and_style", "file": "x"}, {"image_size": (96,)}),
        ({"name": "super_resolution", "scale": 4}, {"image_size": 4, "scale": 4}),
        (
            {"name": "folder", "dir": "x", "augmentations": ("flip",)},
            {
                "name": "digits",
                "image_size": 32,
                "channels": 3,
                "augmentations": ("flip",),
            },
        ),
        ({"name": "tfds:mnist"}, {"image_size": 28, "channels": 1}),
        ({"name": "tfds:mnist", "image_size": 32}, {"image_size": 32, "channels": 1}),
        ({"name": "tfds:cifar10"}, {"image_size": 32, "channels": 3}),
        (
            {"name": "voc", "dir": "x", "image_size": (64, 200), "channels": 1},
            {"name": "digit_scenes", "labels": "boxes", "image_size": 96},
        ),
        ({"name": "clips", "frames": 5}, {"name": "moving_digits", "frames": 5}),
    ],
)
def test_what_data_become(given, expected):
    found = small(**given)
    assert found["batch_size"] == 8 and "dir" not in found and "file" not in found
    for key, value in expected.items():
        assert found.get(key) == value


@pytest.mark.parametrize("name", data.SOURCES)
@pytest.mark.parametrize("own", ["digits", "identities", "voc"])
def test_another_source_on_the_command_line(own, name):
    """The key `image_size` of another source may have another type."""
    named = data.SOURCES[name].named
    overrides = {"data.name": f"{name}:x" if named else name}
    config = resolve_smoke(values(name=own), overrides)
    assert config.data.name.partition(":")[0] == name


def load(*, dir: Place, image_size: int = 300) -> Dataset: ...


def test_the_users_own_source_stays(tmp_path):
    (tmp_path / "a_user.py").write_text(f"from {__name__} import load")
    imports.add(tmp_path)
    found = small(name="a_user.load", dir="x", image_size=200)
    expected = {"name": "a_user.load", "dir": "x", "image_size": 96, "batch_size": 8}
    assert found == expected
    assert "image_size" not in small(name="a_user.load", dir="x")


def test_what_holds_for_so_many_classes_is_left_out():
    given = values(name="folder") | {"model": {"name": "mlp", "num_classes": 3}}
    assert smoke(given)["model"] == {"name": "mlp"}
    given["data"]["name"] = "digits"
    assert smoke(given)["model"]["num_classes"] == 3
    assert without({"seed": 0, "a": {"b": 1, "c": 2}}, {"a.b"}) == {
        "seed": 0,
        "a": {"c": 2},
    }
