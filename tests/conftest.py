"""Fixtures of all tests: tiers, run-time type checks, commands and runs."""

import fcntl
import gc
import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import get_type_hints

import jaxtyping
import pytest
from beartype import beartype
from hypothesis import settings

ROOT = Path(__file__).parents[1]

# Fixtures of several folders: geometries of convolutions, variables of networks, a
# run's folder without training.
pytest_plugins = ["tests.geometries", "tests.networks", "tests.made"]

# Compiled programs outlive a test run, and are shared with the commands under test.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
# Programs that call oneDNN cannot be stored: `kernels/test_convolution.py` tests them.
os.environ.setdefault("CNN_JAX_ONEDNN", "0")
# The tests say how many devices there are.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# What the tests compile in their own process is small and runs a few times: good code
# takes XLA several times as long as it saves. The processes of `start` compile as
# those of users do.
QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
if version("jaxlib") == "0.10.2":  # another one may end at a flag that it lacks
    QUICK["XLA_FLAGS"] = "--xla_cpu_use_fusion_emitters=false"
QUICK = {key: value for key, value in QUICK.items() if key not in os.environ}
os.environ.update(QUICK)

# Background jobs of a shell ignore Ctrl-C, and so would all processes under test.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Traced programs are many small objects that stay: looking through them as often as
# Python does by default takes a tenth of the time.
gc.set_threshold(50_000, 20, 100)

# A busy machine is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

CHECKS = {}


def checked(function):
    """`beartype(function)`, once for all functions of one name and signature.

    What jaxtyping wants checked is a stand-in made from these, with nothing inside. It
    asks again whenever a function within a function is defined, which takes beartype a
    millisecond: for each of the digits, for one.
    """
    key = function.__module__, function.__qualname__, inspect.signature(function)
    try:
        return CHECKS[key]
    except KeyError:
        return CHECKS.setdefault(key, beartype(function))
    except TypeError:  # a default that has no hash
        return beartype(function)


def jaxtyped(function=None, *, typechecker):
    """`jaxtyping.jaxtyped`, and `beartype` alone for functions without shapes.

    jaxtyping binds the arguments of each call to compare shapes. Most functions have
    none to compare, and many of them have no annotations at all.
    """
    if function is None:
        return partial(jaxtyped, typechecker=typechecker)
    if inspect.isfunction(function):
        try:
            hints = get_type_hints(function)
        except Exception:  # a name that is not defined yet: jaxtyping does without it
            hints = {"": jaxtyping.Array}
        if not hints:
            return function
        if "jaxtyping" not in str(hints) and "<locals>" not in function.__qualname__:
            return beartype(function)
    return with_shapes(function, typechecker=typechecker)


# Types and shapes in signatures are checked on every call.
with_shapes, jaxtyping.jaxtyped = jaxtyping.jaxtyped, jaxtyped
jaxtyping.install_import_hook("cnn_jax", f"{__name__}.checked")


# The tiers beyond `make test`, each with those before it.
TIERS = ("full", "slow")


def pytest_addoption(parser):
    for tier in TIERS:
        parser.addoption(
            f"--{tier}", action="store_true", help=f"run the tests marked {tier} too"
        )


def pytest_collection_modifyitems(config, items):
    """Leaves out the tests of higher tiers than the one that was asked for."""
    asked = [number for number, tier in enumerate(TIERS) if config.getoption(tier)]
    left_out = set(TIERS[max(asked, default=-1) + 1 :])
    marks = {item: {mark.name for mark in item.iter_markers()} for item in items}
    kept = [item for item in items if left_out.isdisjoint(marks[item])]
    config.hook.pytest_deselected(items=[i for i in items if left_out & marks[i]])
    items[:] = kept


def start(command, *args, env=None, **options):
    """Starts `python -m cnn_jax.<command> <args>` from the project's root."""
    return subprocess.Popen(
        [sys.executable, "-m", f"cnn_jax.{command}", *map(str, args)],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k not in QUICK} | (env or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.fixture(scope="session")
def launch():
    """`launch(command, *args, env=...)`: the process of a command, under way."""
    return start


@pytest.fixture(scope="session")
def run():
    """`run(command, *args, env=..., code=0)`: what a command printed on stdout."""

    def run_command(command, *args, env=None, code=0):
        process = start(command, *args, env=env)
        out, err = process.communicate(timeout=300)
        assert process.returncode == code, f"{out}\n{err}"
        assert "Traceback" not in err, err
        return out if code == 0 else err

    return run_command


@pytest.fixture(
    scope="session", params=["0", pytest.param("1", marks=pytest.mark.full)]
)
def onednn(request):
    """The environment of a process without oneDNN and, as users have it, with it."""
    return {"CNN_JAX_ONEDNN": request.param}


@pytest.fixture
def call(monkeypatch, capsys):
    """`call(command, *args)`: (exit code, stdout, stderr), within this process."""
    import importlib

    from cnn_jax.command import run as run_main

    def call_command(command, *args):
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(sys, "argv", [command, *map(str, args)])
        module = importlib.import_module(f"cnn_jax.{command}")
        try:
            run_main(module.main)
            code = 0
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call_command


@pytest.fixture
def done(call):
    """`done(command, *args)`: what a command printed on stdout, within this process.

    As `run`, without the seconds that a process takes to import JAX.
    """

    def call_command(command, *args):
        code, out, err = call(command, *args)
        assert code == 0 and "Traceback" not in err, f"{out}\n{err}"
        return out

    return call_command


@pytest.fixture
def asked(call, monkeypatch):
    """`asked(command, *flags)`: what a command asks of `runs`, which does nothing:
    (function, arguments, options) of each call."""
    from cnn_jax import command as commands

    class Runs:
        def __init__(self):
            self.asked = []

        def __getattr__(self, what):
            return lambda *arguments, **options: self.asked.append(
                (what, arguments, options)
            )

    def ask(command, *flags):
        runs = Runs()
        monkeypatch.setattr(commands, "runs", lambda: runs)
        assert call(command, *flags) == (0, "", "")
        return runs.asked

    return ask


@pytest.fixture(autouse=True)
def forgotten_imports(monkeypatch, tmp_path_factory):
    """Each test forgets the modules and folders of users' code that it imported."""
    from cnn_jax.core import guard, imports

    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # edits within a second
    for name in ("FOLDERS", "REFUSED"):
        monkeypatch.setattr(guard, name, [])
    monkeypatch.setattr(imports, "FOLLOWED", set())
    before, place = set(sys.modules), str(tmp_path_factory.getbasetemp())
    yield
    for name in sys.modules.keys() - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(place):
            del sys.modules[name]


@pytest.fixture(scope="session")
def rows():
    """`rows(workdir)`: the lines of metrics.jsonl, without the speed of the machine."""

    def read(workdir):
        lines = (workdir / "metrics.jsonl").read_text().splitlines()
        found = [json.loads(line) for line in lines]
        return [
            {k: v for k, v in row.items() if k != "train/examples_per_second"}
            for row in found
        ]

    return read


@pytest.fixture(scope="session")
def saved():
    """`saved(workdir, step)`: checksums of the state, and results, of a checkpoint."""

    def read(workdir, step):
        path = workdir / "checkpoints" / str(step) / "progress" / "metadata"
        content = json.loads(path.read_text())
        return content["checksums"], content["results"]

    return read


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """`shared(name, make)`: a new folder that `make(folder)` fills once.

    The processes of pytest-xdist share the folder: the first one that needs it fills
    it, and the others wait. A failure of `make` is repeated by each of them.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def get(name, make):
        folder, complete = root / "shared" / name, root / "shared" / f"{name}.complete"
        folder.parent.mkdir(exist_ok=True)
        with (folder.parent / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not complete.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                complete.touch()
        return folder

    return get


@pytest.fixture(scope="session")
def trained(shared, run):
    """The folder of a complete short run of a small network on the digits."""
    flags = ["--config=configs/mlp.py", "--smoke", "--tag=arm=small"]
    folder = shared("trained", lambda f: run("main", *flags, f"--workdir={f / 'run'}"))
    return folder / "run"
