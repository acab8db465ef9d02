"""Arms made from values of config keys, and their names."""

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.sweeps import arms as arms_lib
from cnn_jax.sweeps import grid
from cnn_jax.sweeps.arms import Arm

RATES = {"optimizer.learning_rate": ("0.01", "0.1")}


def test_one_key():
    assert grid.arms(RATES) == [
        Arm("learning_rate=0.01", {"optimizer.learning_rate": "0.01"}, against=None),
        Arm(
            "learning_rate=0.1",
            {"optimizer.learning_rate": "0.1"},
            against="learning_rate=0.01",
        ),
    ]


def test_all_combinations_of_several_keys():
    found = grid.arms(RATES | {"model.hidden": ("(64, 32)", "(8,)")})
    assert [arm.name for arm in found] == [
        "learning_rate=0.01, hidden=(64,32)",
        "learning_rate=0.01, hidden=(8,)",
        "learning_rate=0.1, hidden=(64,32)",
        "learning_rate=0.1, hidden=(8,)",
    ]
    assert {arm.against for arm in found[1:]} == {found[0].name}
    assert found[0].values["model.hidden"] == "(64, 32)"
    third = grid.arms(RATES | {"model.name": ("a", "b"), "data.flip": ("true", "no")})
    assert len(third) == 8
    assert third[-1].name == "learning_rate=0.1, model=b, flip=no"


def test_short_names_of_keys():
    assert grid.labels(["model.name", "model.rate", "data.rate", "seed"]) == {
        "model.name": "model",
        "model.rate": "model.rate",
        "data.rate": "data.rate",
        "seed": "seed",
    }


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("init_from=runs/a", "init_from=runs-a"),
        ("model=unet:resnet18", "model=unet-resnet18"),
        ("rate=1.", "rate=1"),
        ("-[x]", "x-"),
        (".", "arm"),
    ],
)
def test_names_are_valid(text, name):
    assert grid.valid(text) == name
    assert arms_lib.NAME.fullmatch(name)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed": ("1", "2")}, "use --seeds"),
        ({"a.b": ("1",)}, "one value: .* use --config.a.b=1"),
        ({"a.b": ()}, "one value"),
        ({"a.b": ("1", "1")}, "two arms called 'b=1'"),
    ],
)
def test_grids_that_are_refused(given, message):
    with pytest.raises(UserError, match=message):
        grid.arms(given)
