"""Files that are written completely or not at all, with one-line errors."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from cnn_jax.core.errors import UserError

ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


@contextlib.contextmanager
def writing(what: object) -> Iterator[None]:
    """Turns a write error inside the `with` block into a `UserError` with the path.

    The system's error for a failed write has no path. Libraries raise their own types
    of errors, but their messages contain the system's error text.

    Args:
      what: the path for the error message, or words that end with the path.

    Raises:
      UserError: the disk is full or read-only, or the user has no permission.
    """
    try:
        yield
    except UserError:
        raise  # it is more specific
    except Exception as error:
        for number in ERRORS:
            reason = os.strerror(number)
            if getattr(error, "errno", None) == number or reason in str(error):
                raise UserError(f"cannot write {what}: {reason}.") from error
        raise


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Returns a context whose value is a temporary path for a new file or folder.

    At the end of the context, the new file or folder replaces `path`. If an error
    occurs, `path` does not change.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name does not contain the path's own name, which may have the maximal length.
    new = path.with_name(f".cnn_jax-{os.getpid()}.tmp")
    old = path.with_name(f".cnn_jax-{os.getpid()}.old")
    try:
        with writing(path):
            yield new
            if path.is_dir():
                path.rename(old)
            new.replace(path)
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        for rest in (new, old):
            if rest.is_dir():
                shutil.rmtree(rest, ignore_errors=True)
            else:
                rest.unlink(missing_ok=True)
