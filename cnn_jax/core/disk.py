"""One-line errors for a disk that is full or not writable."""

import contextlib
import errno
import os
from collections.abc import Iterator

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
