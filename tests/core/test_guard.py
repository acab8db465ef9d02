"""Nothing that lies in a run's folder is imported."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cnn_jax.core import guard, imports
from cnn_jax.core.errors import UserError

ROOT = Path(__file__).parents[2]
RUN = {"config": {}, "config_hash": "0", "dataset": {}, "versions": {}}
EVIL = "print('EVIL')\n"


def write(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def run(tmp_path):
    """A run's folder."""
    write(tmp_path / "run" / "config.json", json.dumps(RUN))
    return tmp_path / "run"


def python(program, cwd, *path):
    """Returns the output of a program in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [ROOT, *path]))},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ------------------------------------------------------------------- which folders


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (json.dumps(RUN), True),
        (json.dumps(RUN).replace("config_hash", "config\\u005fhash"), True),
        (json.dumps(RUN)[:-1], True),  # damaged
        ('{"config_hash": 3}', True),
        ("[" * 100_000 + '"config_hash"', True),
        ('{"config": {}, "name": "of another program"}', False),
        ("[]", False),
        ("not JSON", False),
        ("", False),
        (None, False),
    ],
)
def test_which_folders_are_runs(text, is_one, tmp_path):
    if text is not None:
        write(tmp_path / "config.json", text)
    expected = str(tmp_path) if is_one else None
    assert guard.run_of(str(tmp_path)) == expected
    assert guard.run_of(str(tmp_path / "deep" / "down.py")) == expected


def test_utf_16_is_json_too(tmp_path):
    (tmp_path / "config.json").write_bytes(json.dumps(RUN).encode("utf-16"))
    assert guard.run_of(str(tmp_path))


def test_a_config_that_cannot_be_read_is_not_trusted(run, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr("builtins.open", refuse)
    assert guard.run_of(str(run))


def test_links_are_followed_both_ways(run, tmp_path):
    (tmp_path / "link").symlink_to(run)
    assert guard.run_of(str(tmp_path / "link" / "a.py"))
    outside = write(tmp_path / "outside.py")
    (run / "inside.py").symlink_to(outside)
    assert guard.run_of(str(run / "inside.py")) and not guard.run_of(str(outside))


def test_packages_of_python_lie_in_no_run(tmp_path, monkeypatch):
    """A virtual environment may lie in a folder that somebody trained in."""
    write(tmp_path / "config.json", json.dumps(RUN))
    assert guard.run_of(str(tmp_path / "venv" / "lib" / "a.py"))
    for name in ("OWN", "TRUSTED"):
        monkeypatch.setattr(guard, name, {str(tmp_path / "venv")})
    assert not guard.run_of(str(tmp_path / "venv" / "lib" / "a.py"))
    assert guard.is_own(str(tmp_path / "venv" / "a")) and not guard.is_own("/venv")
    assert not guard.is_own(str(tmp_path / "venv" / ".." / "a.py"))
    # Nor is a run in there overlooked.
    write(tmp_path / "venv" / "runs" / "a" / "config.json", json.dumps(RUN))
    assert guard.run_of(str(tmp_path / "venv" / "runs" / "a" / "b.py"))


def test_paths_that_are_none(monkeypatch):
    assert guard.run_of("/a\0b") is None

    def gone():
        raise FileNotFoundError

    monkeypatch.setattr(os, "getcwd", gone)
    assert guard.run_of("") is None


# ---------------------------------------------------------- a process in a run's folder

# Modules that Python, this package and its libraries import.
SHADOWS = ("numpy", "jax", "yaml", "json", "difflib", "hashlib", "typing_extensions")
IMPORTED = f"""
import sys
import cnn_jax.command, yaml, json, difflib, hashlib, typing_extensions
assert not any(m in str(f) for m in sys.path for f in ["/run"]), sys.path
for name in {SHADOWS}:
    module = sys.modules.get(name)
    assert not module or "/run" not in module.__file__, name
print("done")
"""


@pytest.mark.parametrize("place", [".", "sub/folder"])
def test_a_folder_of_a_run_shadows_nothing(place, run):
    """The folder is the working directory, on PYTHONPATH, or below one of them."""
    for name in SHADOWS:
        write(run / place / f"{name}.py", EVIL)
    assert python(IMPORTED, run / place, run / place) == "done\n"


def test_a_command_in_the_folder_of_a_run(run):
    for name in SHADOWS:
        write(run / f"{name}.py", EVIL)
    done = subprocess.run(
        [sys.executable, "-m", "cnn_jax.evaluate", "--help"],
        cwd=run,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and "EVIL" not in done.stdout + done.stderr
    assert "--workdir" in done.stdout


STARTED = """
import cnn_jax
import multiprocessing, subprocess, sys
from multiprocessing import resource_tracker
if __name__ == "__main__":
    resource_tracker.ensure_running()
    spawn = multiprocessing.get_context("spawn")
    worker = spawn.Process(target=print, args=("worker",))
    worker.start()
    worker.join()
    subprocess.run([sys.executable, "-c", "import multiprocessing, json"], check=True)
"""


def test_processes_that_are_started_are_as_safe(run):
    """Workers, and Python's own helpers: each puts the working directory first."""
    for name in ("multiprocessing", "json", "pickle", "runpy", "signal"):
        write(run / f"{name}.py", EVIL)
    for path in ([], ["", run, "."]):
        assert python(STARTED, run, *path) == "worker\n"


def test_a_checkout_may_be_the_folder_of_a_run(tmp_path):
    """The code that is executed lies in it: it is the user's."""
    package = tmp_path / "cnn_jax"
    shutil.copytree(ROOT / "cnn_jax" / "core", package / "core")
    shutil.copy(ROOT / "cnn_jax" / "__init__.py", package)
    write(tmp_path / "config.json", json.dumps(RUN))
    write(tmp_path / "runs" / "a" / "config.json", json.dumps(RUN))
    program = "import sys, cnn_jax.core.guard as g; print(g.REFUSED, sys.path[0] == '')"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == "[] True\n", done.stderr


# --------------------------------------------------------------------- later imports


@pytest.fixture
def on_path(monkeypatch):
    return lambda *folders: monkeypatch.setattr(
        sys, "path", [*map(str, folders), *sys.path]
    )


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (["evil_a.py"], "evil_a"),
        (["evil_b/__init__.py"], "evil_b"),
        (["evil_c/nets.py"], "evil_c.nets"),  # in a namespace package
        (["evil_d/deep/er/nets.py"], "evil_d.deep.er.nets"),
    ],
)
@pytest.mark.parametrize("place", ["run", "run/checkpoints/3"])
def test_a_module_in_the_folder_of_a_run(place, files, name, run, on_path, capsys):
    for file in files:
        write(run.parent / place / file, EVIL)
    on_path(run.parent / place)
    with pytest.raises(UserError, match=r"run, the folder of a run, and code in"):
        __import__(name)
    assert capsys.readouterr().out == ""


def test_a_run_below_a_package(run, on_path, capsys):
    """The package is the user's, what lies in the run in it is not."""
    package = write(run.parent / "evil_p" / "__init__.py").parent
    (package / "runs").mkdir()
    run.rename(package / "runs" / "a")
    write(package / "runs" / "a" / "nets.py", EVIL)
    on_path(run.parent)
    with pytest.raises(UserError, match="the folder of a run"):
        __import__("evil_p.runs.a.nets")
    assert capsys.readouterr().out == ""


def test_a_path_of_a_package_that_leads_into_a_run(run, on_path, capsys):
    text = f"__path__.append({str(run)!r})\n"
    write(run.parent / "evil_q" / "__init__.py", text)
    write(run / "nets.py", EVIL)
    on_path(run.parent)
    with pytest.raises(UserError, match="the folder of a run"):
        __import__("evil_q.nets")
    assert capsys.readouterr().out == ""


def test_a_link_to_a_module_in_a_run(run, on_path, capsys):
    target = write(run / "target.py", EVIL)
    (run.parent / "evil_link.py").symlink_to(target)
    on_path(run.parent)
    with pytest.raises(UserError, match="the folder of a run"):
        __import__("evil_link")
    assert capsys.readouterr().out == ""


def test_an_archive_and_a_path_file_in_a_run(run, on_path, capsys):
    import zipfile

    with zipfile.ZipFile(run / "evil.zip", "w") as archive:
        archive.writestr("evil_zip.py", EVIL)
    write(run / "evil.pth", "import sys; print('EVIL')\n")
    on_path(run / "evil.zip", run)
    with pytest.raises(UserError, match="the folder of a run"):
        __import__("evil_zip")
    imports.add(run)
    assert capsys.readouterr().out == ""
