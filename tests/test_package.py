"""The wheel, installed into an environment of its own and used in an empty folder."""

import ast
import configparser
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import QUICK

ROOT = Path(__file__).parents[1]
SOURCES = ("cnn_jax", "configs", "experiments", "setup.cfg", "setup.py")
SOURCES += ("pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def setup():
    found = configparser.ConfigParser()
    found.read(ROOT / "setup.cfg")
    return found


def test_every_room_is_a_package():
    """Else the wheel lacks it."""
    rooms = {path.parent for path in (ROOT / "cnn_jax").rglob("*.py")}
    rooms |= {ROOT / "configs", ROOT / "experiments"}
    assert not [room for room in rooms if not (room / "__init__.py").exists()]


# Modules that are not called as their packages.
PACKAGES = {"PIL": "pillow", "absl": "absl-py", "jaxlib": "jax"}
PACKAGES |= {"orbax": "orbax-checkpoint", "sklearn": "scikit-learn"}
PACKAGES |= {"tensorflow_datasets": "tensorflow-datasets"}  # and its messages:
PACKAGES |= {"google": "tensorflow-datasets"}
PEERS = {"torch", "torchvision"}  # of benchmarks, and of weights in their files


def names(lines):
    """The packages of requirements."""
    return {re.split(r"[><=\[]", line)[0] for line in lines.split()}


def imported(statements):
    for node in statements:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


def test_what_is_imported_is_required(setup):
    """All installations require it. Imports in functions may need an extra."""
    hard = names(setup["options"]["install_requires"])
    extras = setup["options.extras_require"]
    soft = set().union(*(names(extras[key]) for key in extras if key != "dev"))
    ours = {*sys.stdlib_module_names, "cnn_jax"}
    for path in (ROOT / "cnn_jax").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for allowed, nodes in (
            (hard, tree.body),
            (hard | soft | PEERS, ast.walk(tree)),
        ):
            found = {
                PACKAGES.get(name, name) for name in imported(nodes) if name not in ours
            }
            assert found <= allowed, path


# -------------------------------------------------------------------- as users have it


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy: setuptools leaves its work beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "source").mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / "source" / name)
    # An old setuptools makes no wheel: pip then fetches a new one.
    able = importlib.util.find_spec("setuptools.command.bdist_wheel") is not None
    flags = ["--no-deps", *(["--no-build-isolation"] if able else [])]
    said = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *flags, "-w", folder, "."],
        cwd=folder / "source",
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert said.returncode == 0, said.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """`installed(*command, **options)`: what a program of a new environment says.

    The environment sees the libraries of this one. Of ours it has the wheel alone.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    paths = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps"]
    subprocess.run([*pip, "--no-index", wheel], check=True, capture_output=True)
    left_out = {*QUICK, "PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH"}
    environment = {k: v for k, v in os.environ.items() if k not in left_out}

    def run(program, *arguments, cwd, code=0):
        done = subprocess.run(
            [folder / "bin" / program, *map(str, arguments)],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


WHERE = """
import cnn_jax, cnn_jax.configs.resnet, cnn_jax.experiments.pooling
from importlib.resources import files
assert files("cnn_jax").joinpath("py.typed").is_file()
print(cnn_jax.__file__)
"""


@pytest.mark.full
def test_the_wheel_has_every_module_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    files = [path for name in SOURCES[:3] for path in (ROOT / name).rglob("*.py")]
    names = [path.relative_to(ROOT).as_posix() for path in files]
    inside = {
        name if name.startswith("cnn_jax/") else f"cnn_jax/{name}" for name in names
    }
    assert found == inside | {"cnn_jax/py.typed"}


@pytest.mark.full
def test_a_wheel_in_an_empty_folder(installed, tmp_path):
    assert str(ROOT) not in installed("python", "-c", WHERE, cwd=tmp_path)
    flags = ["--config=configs/mlp.py", "--smoke"]
    out = installed("cnn-jax", "train", *flags, cwd=tmp_path)
    assert "test/accuracy" in out
    assert sorted(os.listdir(tmp_path)) == ["runs"]
    run = tmp_path / "runs" / "mlp-smoke"
    out = installed("cnn-jax", "evaluate", f"--workdir={run}", cwd=tmp_path)
    assert "test/accuracy" in out
    picture = tmp_path / "digit.png"
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(picture)
    out = installed("cnn-jax", "predict", f"--workdir={run}", picture, cwd=tmp_path)
    assert "digit.png" in out
    flags = ["--config=experiments/pooling.py", "--dry_run", "--seeds=1"]
    assert "pooling/max" in installed("cnn-jax", "sweep", *flags, cwd=tmp_path)
    err = installed(
        "cnn-jax", "train", "--config=configs/none.py", cwd=tmp_path, code=1
    )
    assert err.startswith("error: no config file") and " configs/mlp.py," in err
