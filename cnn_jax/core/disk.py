"""Errors of a disk that is full or may not be written, as one line for the user."""

import contextlib
import errno
import os
from collections.abc import Iterator

from cnn_jax.core.errors import UserError

ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


@contextlib.contextmanager
def writing(what: object) -> Iterator[None]:
    """Names what could not be written when the disk refuses a write of the block.

    The system's own error of a write has no path, and libraries raise errors of other
    types that hold the system's words.

    Args:
      what: a path, or words that end with one.

    Raises:
      UserError: the disk is full, read-only or not the user's.
    """
    try:
        yield
    except UserError:
        raise  # it says more
    except Exception as error:
        for number in ERRORS:
            reason = os.strerror(number)
            if getattr(error, "errno", None) == number or reason in str(error):
                raise UserError(f"cannot write {what}: {reason}.") from error
        raise
