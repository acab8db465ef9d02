"""Faults happen at the place that was asked for."""

import errno
import signal
import sys
from pathlib import Path

import pytest

from tests import faults

PROGRAM = """
import sys
from pathlib import Path
from pathlib import Path

folder = Path(sys.argv[1])
for number in range(10):
    path = folder / f"{number}.txt"
    with path.open("wb", buffering=0) as file:
        file.write(b"0123456789")  # the line
"""
# Each file is opened and written.
CALLS = 20


@pytest.fixture(autouse=True)
def compiler():
    if reason := faults.missing():
        pytest.skip(reason)


@pytest.fixture
def write(tmp_path):
    """`write(**fault)`: how the program ended, and the sizes of its files."""
    program, folder = tmp_path / "program.py", tmp_path / "files"
    program.write_text(PROGRAM)
    folder.mkdir()

    def start(program=program, **fault):
        command = [sys.executable, "-S", str(program), str(folder)]
        if "line" in fault:
            command.remove("-S")
        ended = faults.run(command, folder=folder, **fault)
        return ended, [path.stat().st_size for path in sorted(folder.iterdir())]

    return start


def test_calls_are_counted_where_nothing_is_wrong(write):
    ended, sizes = write()
    assert ended.code == 0 and sizes == [10] * 10
    assert [call.number for call in ended.calls] == list(range(1, CALLS + 1))
    assert [call.path for call in ended.calls[:4]] == ["/0.txt"] * 2 + ["/1.txt"] * 2
    assert {call.name for call in ended.calls[1::2]} == {"write"}
    assert len({call.process for call in ended.calls}) == 1


@pytest.mark.parametrize("group", [False, True])
def test_a_kill_before_a_call(write, group):
    ended, sizes = write(at=14, group=group)
    assert ended.killed and sizes == [10] * 6 + [0]
    assert len(ended.calls) == 14


def test_a_kill_in_the_middle_of_a_write(write):
    ended, sizes = write(at=14, mode="half")
    assert ended.killed and sizes == [10] * 6 + [5]


def test_a_kill_in_the_middle_of_another_call_is_one_after_it(write):
    ended, sizes = write(at=13, mode="half")
    assert ended.killed and sizes == [10] * 6 + [0]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_call_fails(write, number):
    ended, sizes = write(at=14, mode=number)
    assert ended.code == 1 and sizes == [10] * 6 + [0]
    assert f"OSError: [Errno {int(number)}]" in ended.err


def test_a_place_behind_the_last_is_never_reached(write):
    ended, sizes = write(at=CALLS + 1)
    assert ended.code == 0 and sizes == [10] * 10


def test_processes_share_one_count(write, tmp_path):
    program = tmp_path / "two.py"
    program.write_text(
        "import subprocess, sys\n"
        "for _ in range(2):\n"
        f"    line = [sys.executable, {str(tmp_path / 'program.py')!r}, sys.argv[1]]\n"
        "    print(subprocess.run(line).returncode, flush=True)\n"
    )
    ended, _ = write(program, at=CALLS + 3)
    assert ended.out.split() == ["0", str(-signal.SIGKILL)] and ended.code == 0
    assert len({call.process for call in ended.calls}) == 2


def test_calls_are_counted_by_what_they_change(write, tmp_path):
    program = tmp_path / "calls.py"
    program.write_text(
        "import os, shutil, sys\n"
        "os.chdir(sys.argv[1])\n"
        "os.mkdir('a')\n"
        "here = os.open('a', os.O_RDONLY)\n"
        "os.close(os.open('b', os.O_WRONLY | os.O_CREAT, dir_fd=here))\n"
        "open('../outside', 'w').close()\n"
        "os.rename('a/b', '../outside')\n"
        "os.rename('../outside', 'c')\n"
        "os.truncate('c', 3)\n"
        "os.link('c', 'd')\n"
        "os.symlink('d', 'e')\n"
        "open('e').read()\n"
        "shutil.rmtree('a')\n"
        "os.remove('e')\n"
    )
    ended, _ = write(program)
    assert [(call.name.removesuffix("64"), call.path) for call in ended.calls] == [
        ("mkdir", "/a"),
        ("openat", "/a/b"),
        ("rename", "/a/b"),
        ("rename", "/c"),
        ("truncate", "/c"),
        ("link", "/d"),
        ("symlink", "/e"),
        ("rmdir", "/a"),
        ("unlink", "/e"),
    ], ended.err


def test_a_kill_at_a_line(write, tmp_path):
    line = faults.line_of(tmp_path / "program.py", "# the line")
    ended, sizes = write(line=line, at=4)
    assert ended.killed and sizes == [10] * 3 + [0]


def test_a_program_that_hangs_says_where(write, tmp_path):
    program = tmp_path / "hangs.py"
    program.write_text(
        "import sys, time\nopen(sys.argv[1] + '/begun', 'w').close()\ntime.sleep(60)\n"
    )
    with pytest.raises(faults.Hung, match=r"(?s)/begun.*hangs\.py\", line 3"):
        write(program, timeout=1)


def test_shared_memory_that_stays_is_seen(write, tmp_path):
    program = tmp_path / "memory.py"
    program.write_text(
        "import os, signal\n"
        "from multiprocessing.shared_memory import SharedMemory\n"
        "memory = SharedMemory(create=True, size=8)\n"
        "os.kill(0, signal.SIGKILL)\n"
    )
    ended, _ = write(program)
    assert ended.killed
    (name,) = ended.left_behind
    Path(f"/dev/shm{name}").unlink()
    assert not ended.left_behind
