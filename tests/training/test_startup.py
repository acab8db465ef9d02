"""Commands start fast, and compiled programs are kept from one start to the next."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cnn_jax.training import startup

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(
    path.stem
    for path in (ROOT / "cnn_jax").glob("*.py")
    if "command.run(main)" in path.read_text(encoding="utf-8")
)
SLOW = ["jax", "flax", "optax", "orbax", "numpy", "tensorflow", "tensorflow_datasets"]
SLOW += ["grain", "matplotlib", "sklearn", "scipy", "PIL", "tensorboardX"]
FIRST_STEP = re.compile(
    r"^first step after [\d.]+ s: [\d.]+ s imports, [\d.]+ s data, "
    r"[\d.]+ s compilation$",
    re.MULTILINE,
)
# Runs a command and says on its last line how many programs were loaded and kept.
COUNTED = """
import collections, runpy, sys
from jax import monitoring

events = collections.Counter()
monitoring.register_event_listener(lambda event, **_: events.update([event]))
module = sys.argv.pop(1)
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    names = ("cache_hits", "cache_misses")
    print(*(events["/jax/compilation_cache/" + name] for name in names))
"""


# Prints the tunables before and after; what a program that was started again is told.
TUNABLES = """
import os, sys
from pathlib import Path
from cnn_jax.training import startup

startup.KERNEL_PAGES = Path(sys.argv[1])
startup.use_huge_pages()
print(os.environ.get("GLIBC_TUNABLES", ""), *sys.argv[2:])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of Linux")
@pytest.mark.parametrize(
    ("kernel", "tunables", "after"),
    [
        ("always [madvise] never", "", "glibc.malloc.hugetlb=1"),
        (
            "always [madvise] never",
            "glibc.malloc.arena_max=1",
            "glibc.malloc.arena_max=1:glibc.malloc.hugetlb=1",
        ),
        ("always [madvise] never", "glibc.malloc.hugetlb=0", "glibc.malloc.hugetlb=0"),
        ("[always] madvise never", "", ""),
        (None, "", ""),
    ],
    ids=["asked", "beside another", "refused by the user", "given to all", "unknown"],
)
def test_huge_pages(tmp_path, kernel, tunables, after):
    if kernel:
        (tmp_path / "enabled").write_text(kernel)
    printed, _ = start(
        "-c", TUNABLES, tmp_path / "enabled", "an", "argument", GLIBC_TUNABLES=tunables
    )
    assert printed.strip("\n") == f"{after} an argument"


def start(*arguments, **variables):
    """Ends a Python process without the tests' own cache: its stdout and stderr."""
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("JAX_COMPILATION_CACHE", "JAX_PERSISTENT_CACHE"))
    }
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment | {key: str(value) for key, value in variables.items()},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def train(workdir, **variables):
    """A short run: (programs loaded, programs kept), stderr."""
    flags = ["--config=configs/mlp.py", "--smoke", f"--workdir={workdir}"]
    out, err = start("-c", COUNTED, "cnn_jax.main", *flags, **variables)
    loaded, kept = map(int, out.splitlines()[-1].split())
    return loaded, kept, err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_slow(command):
    program = (
        "import runpy, sys\n"
        f"sys.argv = ['{command}', '--help']\n"
        "try:\n"
        f"    runpy.run_module('cnn_jax.{command}', run_name='__main__')\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code\n"
        f"print('slow:', *sorted(set({SLOW}) & sys.modules.keys()))\n"
    )
    out, _ = start("-c", program)
    assert "usage:" in out and out.splitlines()[-1].strip() == "slow:"


@pytest.mark.full
def test_a_second_start_compiles_nothing(tmp_path, rows, saved):
    first, second, none = (tmp_path / name for name in ("first", "second", "none"))
    _, kept, err = train(first, XDG_CACHE_HOME=tmp_path)
    folder = tmp_path / "cnn_jax" / "compilation"
    entries = len(list(folder.glob("*-cache")))
    assert entries == kept > 3
    assert len(FIRST_STEP.findall(err)) == 1

    loaded, kept, err = train(second, XDG_CACHE_HOME=tmp_path)
    assert loaded >= entries and kept == 0
    assert len(list(folder.glob("*-cache"))) == entries
    # Nothing is said of the machine that the programs were compiled for.
    assert "warning" not in err.lower() and "feature" not in err

    off = {"XDG_CACHE_HOME": tmp_path / "off", "JAX_ENABLE_COMPILATION_CACHE": "0"}
    assert train(none, **off)[:2] == (0, 0)
    assert not (tmp_path / "off" / "cnn_jax").exists()
    for workdir in (second, none):
        assert rows(workdir) == rows(first)
        assert saved(workdir, 4) == saved(first, 4)


@pytest.mark.full
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    variables = {"XDG_CACHE_HOME": tmp_path / "file", "MPLCONFIGDIR": tmp_path}
    loaded, kept, err = train(tmp_path / "run", **variables)
    assert (loaded, kept) == (0, 0)
    assert err.lower().count("warning") == 1
    assert "Compiled programs are not cached" in err


def test_a_folder_of_the_users_choice_is_left_alone(tmp_path):
    program = (
        "import jax; from cnn_jax.training import startup; startup.use_cache(); "
        "print(jax.config.jax_compilation_cache_dir, "
        "jax.config.jax_persistent_cache_min_compile_time_secs)"
    )
    chosen = {"JAX_COMPILATION_CACHE_DIR": tmp_path / "mine"}
    out, _ = start("-c", program, XDG_CACHE_HOME=tmp_path, **chosen)
    assert out.split() == [str(tmp_path / "mine"), "1.0"]
    assert not (tmp_path / "cnn_jax").exists()
    seconds = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "7"}
    out, _ = start("-c", program, XDG_CACHE_HOME=tmp_path, **seconds)
    assert out.split() == [str(tmp_path / "cnn_jax" / "compilation"), "7.0"]


def test_the_folder_follows_the_standard(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    home = tmp_path / ".cache" / "cnn_jax" / "compilation"
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert startup.cache_folder() == home
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert startup.cache_folder() == home
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert startup.cache_folder() == Path("/elsewhere/cnn_jax/compilation")


def test_trim_removes_what_was_unused_for_longest(tmp_path):
    for age, name in enumerate(["new-cache", "old-cache", "oldest-cache"]):
        path = tmp_path / name
        path.write_bytes(bytes(100))
        os.utime(path, (1e9 - age, 1e9 - age))
    (tmp_path / "other").write_bytes(bytes(1000))
    startup.trim(tmp_path, 300)
    assert len(list(tmp_path.iterdir())) == 4
    startup.trim(tmp_path, 150)
    assert {path.name for path in tmp_path.iterdir()} == {"new-cache", "other"}


def test_spans_within_each_other_count_once():
    assert startup.union([]) == 0
    assert (
        startup.union([(1.0, 2.0), (0.0, 4.0), (3.0, 5.0), (7.0, 8.0), (7.0, 8.0)]) == 6
    )


def test_a_clock_tells_of_each_first_step_once():
    clock = startup.Clock()
    assert clock.stop() is None
    clock.imported()
    for _ in range(2):
        clock.begin()
        clock.imported()  # as a second command in the process says
        with clock.part("data"):
            pass
        seconds = clock.stop()
        assert list(seconds) == ["seconds", "imports", "data", "compilation"]
        assert all(0 <= value <= seconds["seconds"] for value in seconds.values())
        assert clock.stop() is None
    assert seconds["imports"] == 0  # the second run of this process had none
