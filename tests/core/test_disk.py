"""A disk that refuses is one line that names the place."""

import errno
import os
from pathlib import Path

import pytest

from cnn_jax.core import disk
from cnn_jax.core.errors import UserError

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_an_error_of_the_system_has_no_path():
    with pytest.raises(OSError) as error, FULL.open("w") as file:
        file.write("x")
    assert error.value.filename is None
    with (
        pytest.raises(UserError, match=r"^cannot write a.txt: No space left on dev"),
        disk.writing("a.txt"),
        FULL.open("w") as file,
    ):
        file.write("x")


@pytest.mark.parametrize("number", disk.ERRORS)
def test_libraries_raise_errors_of_their_own(number):
    reason = os.strerror(number)
    with (
        pytest.raises(UserError, match=f"^cannot write a.txt: {reason}.$"),
        disk.writing("a.txt"),
    ):
        raise ValueError(f"INTERNAL: {reason} [source locations...]")


@pytest.mark.parametrize(
    "error", [UserError("no"), OSError(errno.EIO, "Input/output error"), ValueError()]
)
def test_other_errors_stay(error):
    with pytest.raises(type(error)) as found, disk.writing("a.txt"):
        raise error
    assert found.value is error


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with disk.replacing(path) as new:
        new.write_text("first")
    with pytest.raises(ZeroDivisionError), disk.replacing(path) as new:
        new.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "first" and list(path.parent.iterdir()) == [path]
