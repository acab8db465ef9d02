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


@pytest.mark.full
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


@pytest.fixture
def their_nets(tmp_path, monkeypatch):
    """A module of a user with a network of theirs, and its spec."""
    (tmp_path / "their_nets.py").write_text(
        "from __future__ import annotations\n"
        "import flax.linen as nn\n"
        "from cnn_jax import layers\n"
        "from cnn_jax.models.spec import ModelSpec, Published\n\n\n"
        "class Net(nn.Module):\n"
        "    num_classes: int\n"
        "    width: int = 4\n\n"
        "    @nn.compact\n"
        "    def __call__(self, x, train):\n"
        "        x = nn.relu(layers.Conv(self.width, 3, name='conv')(x))\n"
        "        x = layers.GlobalAvgPool(name='pool')(x)\n"
        "        return layers.Dense(self.num_classes, name='head')(x)\n\n\n"
        "spec = ModelSpec(Net, Published((8, 8, 1), 3))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def test_a_model_of_the_user(their_nets, call):
    code, out, _ = call("summary", "--model=their_nets.spec", "--format=json")
    assert code == 0 and json.loads(out)["parameters"] == 9 * 4 + 4 + 4 * 3 + 3
    given = ["--model=their_nets.Net", "--num_classes=3"]
    code, out, _ = call("summary", *given, "--input_shape=16,16,3")
    assert code == 0 and "(16, 16, 3)" in out
    code, out, err = call("summary", *given)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "their_nets.Net has no published input shape: set --input_shape" in err


def test_markdown_explains(call):
    code, out, _ = call("summary", "--model=lenet5", "--format=markdown")
    assert code == 0 and r"(5\*5\*1\*6) + 6 = 156" in out
    code, out, _ = call("summary", "--config=configs/mlp.py", "--format=markdown")
    assert code == 0 and r"Flatten to 1D; 8\*8\*1 = 64" in out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--all", "--model=mlp"], "--config and --model"),
        (["--all", "--num_classes=3"], "--all shows each network as published"),
        (["--all", "--config.seed=1"], "needs --config"),
        (["--model=mlp", "--update=README.md"], "--update needs --all"),
        (["--all", "--update=x", "--format=json"], "writes Markdown"),
        (["--model=mpl"], "Did you mean 'mlp'"),
        (["--model=no.such.Net"], "model 'no.such.Net': no module 'no' is among"),
        (["--model=lenet5", "--input_shape=16,16,16,1"], "cannot take an input"),
    ],
)
def test_mistakes(arguments, part, call):
    code, out, err = call("summary", *arguments)
    assert code in (1, 2) and out == ""
    assert part in err and len(err.splitlines()) == 1
