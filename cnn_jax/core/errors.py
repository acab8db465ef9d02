"""Errors that the user can fix: one clear line, no traceback."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in the user's request or in the user's files.

    Commands print its text after `error: ` and exit with code 1. The text says what is
    wrong, where, and what to do about it.
    """


class DataWarning(UserWarning):
    """A fault in the user's files that does not stop the command.

    Raise it with `warnings.warn(DataWarning(text))`. The text names the file and says
    how the program treats it. Commands print each text once, after `warning: `, on
    stderr.
    """


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Returns the error for a name that is not in `known`.

    The message suggests the most similar known name.

    Args:
      kind: the kind of the named object for the message, such as "model".
      name: the unknown name.
      known: the valid names.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    suggestion = f" Did you mean '{near[0]}'?" if near else ""
    return UserError(f"unknown {kind} '{name}'.{suggestion} Known: {', '.join(known)}.")
