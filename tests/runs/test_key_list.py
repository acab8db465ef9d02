"""The lists of keys and names on the command line."""

import re

import pytest

from cnn_jax import models, tasks
from cnn_jax.core.errors import UserError
from cnn_jax.runs import key_list
from cnn_jax.runs.resolve import resolve
from cnn_jax.training.config import flat, load_file

CONFIGS = ("configs/resnet.py", "configs/detection.py", "configs/style_transfer.py")


@pytest.mark.parametrize("file", CONFIGS)
def test_every_key_is_listed_with_its_value_and_a_meaning(file):
    config = resolve(load_file(file), {})
    lines = key_list.keys(config).splitlines()
    found = {}
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if match := re.match(r"([\w.]+) = (.*?)    \((.*)\)$", line):
            found[match[1]] = match[2]
            assert below.startswith(key_list.INDENT), line  # the meaning
            found |= {
                f"{match[1].partition('.')[0]}.{name}": "None"
                for part in match[3].split("; ")
                if part.startswith("also ")
                for name in part.removeprefix("also ").split(", ")
            }
    values = flat(config)
    assert found.keys() == values.keys()
    for key, value in values.items():
        if not isinstance(value, list | str):
            assert found[key] == str(value)


def test_types_ranges_and_defaults():
    config = resolve(load_file("configs/resnet.py"), {"optimizer.momentum": "0.5"})
    lines = key_list.keys(config).splitlines()
    assert "seed = 0    (int; ≥ 0, ≤ 4,294,967,295; default 0)" in lines
    assert "optimizer.momentum = 0.5    (float; ≥ 0, < 1; default 0.9)" in lines
    assert (
        "train.epochs = 45.0    (int or float or None; default 30 epochs; also steps, "
        "examples)" in lines
    )


@pytest.mark.parametrize("kind", key_list.NAMES)
def test_the_names_of_a_kind(kind):
    lines = key_list.names(kind).splitlines()
    found = {line.split()[0] for line in lines if not line.startswith(" ")}
    expected = set(key_list.NAMES[kind]())
    assert found == expected and expected
    for line in lines:
        assert len(line.split()) > 1 or line.startswith(" "), line


def test_names_of_ours_are_among_them():
    assert "resnet50" in key_list.names("models")
    assert models.MODELS.keys() <= key_list.NAMES["models"]().keys()
    assert tasks.TASKS.keys() == key_list.NAMES["tasks"]().keys()
    with pytest.raises(UserError, match=r"'optimisers'.*optimizers"):
        key_list.names("optimisers")
