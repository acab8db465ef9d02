"""The command."""

import json

import pytest

from cnn_jax import models
from cnn_jax.analysis import overview


@pytest.fixture
def few(monkeypatch):
    """Three networks in place of all, which take their time."""
    names = ["mlp", "lenet5", "googlenet"]
    monkeypatch.setattr(models, "MODELS", {n: models.MODELS[n] for n in names})
    return names


def test_all(few, call):
    code, out, _ = call("summary", "--all", "--format=json")
    assert code == 0 and [row["name"] for row in json.loads(out)] == few
    code, out, _ = call("summary", "--all")
    assert code == 0 and "6,998,552" in out and "published" in out


def test_all_is_written_into_a_file(few, call, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"{overview.BEGIN}\n{overview.END}\n")
    code, out, _ = call("summary", "--all", f"--update={path}")
    assert (code, out) == (0, "")
    code, out, _ = call("summary", "--all", "--format=markdown")
    assert path.read_text() == f"{overview.BEGIN}\n{out}{overview.END}\n"


def test_a_model_is_shown_as_it_was_published(call):
    code, out, _ = call("summary", "--model=c3d", "--format=json")
    found = json.loads(out)
    assert code == 0 and found["parameters"] == 79_991_015
    assert found["layers"][0]["output_shape"] == [16, 112, 112, 3]
    code, out, _ = call("summary", "--model=c3d", "--input_shape=16,64,64,1")
    assert code == 0 and "(16, 64, 64, 1)" in out and "487" in out


def test_markdown_explains(call):
    code, out, _ = call("summary", "--model=lenet5", "--format=markdown")
    assert code == 0 and "(5*5*1*6) + 6 = 156" in out
    code, out, _ = call("summary", "--config=configs/mlp.py", "--format=markdown")
    assert code == 0 and "Flatten to 1D; 8*8*1 = 64" in out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--all", "--model=mlp"], "--config and --model"),
        (["--all", "--num_classes=3"], "--all takes each network as published"),
        (["--all", "--config.seed=1"], "goes with --config"),
        (["--model=mlp", "--update=README.md"], "--update goes with --all"),
        (["--all", "--update=x", "--format=json"], "writes Markdown"),
        (["--model=mpl"], "Did you mean 'mlp'"),
        (["--model=lenet5", "--input_shape=16,16,16,1"], "cannot take an input"),
    ],
)
def test_mistakes(arguments, part, call):
    code, out, err = call("summary", *arguments)
    assert code in (1, 2) and out == ""
    assert part in err and len(err.splitlines()) == 1
