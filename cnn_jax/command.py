"""The flags, config overrides and error handling that all commands share."""

import argparse
import contextlib
import errno
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from tqdm import tqdm

from cnn_jax.core import imports, names, paths
from cnn_jax.core.errors import DataWarning, UserError
from cnn_jax.training import hosts, startup

PROGRAM = "cnn-jax"
OVERRIDE = re.compile(r"--config\.([\w.]+)(?:=(.*))?$", re.DOTALL)
MACHINE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
MACHINE_ERRORS |= {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}
MACHINE_ERRORS |= {errno.ENOMEM}


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that prints errors as one line.

    On request, the parser also accepts config overrides (`--config.GROUP.KEY=VALUE`).
    """

    def __init__(self, module: str, description: str, *, overrides: bool = False):
        super().__init__(
            prog=program(module),
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self._overrides = overrides

    def error(self, message: str) -> NoReturn:
        """Prints an error as one line on stderr, and exits with code 2."""
        line = f"error: {names.text(message)} (--help lists the flags)"
        print(line, file=sys.stderr)
        raise SystemExit(2)

    def parse(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        """Parses the command line.

        Args:
          argv: the arguments; None takes the arguments of the process.

        Returns:
          The flags. The attribute `overrides` has the texts of the config overrides:
          `{"a.b": "value"}` for `--config.a.b=value`.
        """
        rest, overrides = [], {}
        arguments = iter(sys.argv[1:] if argv is None else argv)
        for argument in arguments:
            match = OVERRIDE.match(argument) if self._overrides else None
            if not match:
                rest.append(argument)
                continue
            key, value = match.groups()
            value = next(arguments, None) if value is None else value
            if value is None:
                self.error(f"--config.{key} needs a value: write --config.{key}=VALUE")
            overrides[key] = value
        flags = self.parse_args(rest)
        flags.overrides = overrides
        return flags


def program(module: str) -> str:
    """Returns the command as the user typed it, such as `cnn-jax train`.

    Args:
      module: the module of the command. A user who did not type `cnn-jax ...` typed
        `python -m cnn_jax.MODULE`.
    """
    own = sys.argv[0].startswith(f"{PROGRAM} ")
    return sys.argv[0] if own else f"python -m cnn_jax.{module}"


def count(text: str) -> int:
    """Parses the text of a flag as an integer. Raises an error below 1."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"the value must be at least 1, got {number}")
    return number


def path(text: str) -> Path:
    """Parses the text of a flag as a path, and expands `~`."""
    try:
        return Path(paths.expanded(text))
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def recipe(text: str) -> str:
    """Returns the text `FILE.py[:ARG]` of --config with `~` expanded."""
    file, argument = paths.split_recipe(text)
    return ":".join(filter(None, [str(path(file)), argument]))


def add_config(parser: Parser, *, required: bool = True) -> None:
    """Adds the flag `--config` to a parser."""
    parser.add_argument(
        "--config",
        required=required,
        type=recipe,
        metavar="FILE.py[:ARG]",
        help="the config file; --config.GROUP.KEY=VALUE changes any of its values",
    )


def load_config(flags: argparse.Namespace, *, smoke: bool = False):
    """Returns the resolved config: the file of --config with the flags' overrides.

    Args:
      flags: the result of `Parser.parse`.
      smoke: if True, shrinks the config to a few steps on a few embedded examples.
    """
    from cnn_jax.runs import resolve
    from cnn_jax.training import config

    make = resolve.resolve_smoke if smoke else resolve.resolve
    return make(config.load_file(flags.config), flags.overrides)


def runs() -> ModuleType:
    """Imports and returns the module `cnn_jax.runs`; turns on the compilation cache.

    The import takes about a second. Before it, the process may restart itself with huge
    pages. So a command calls this function after it has checked its flags and before
    it does any work.
    """
    startup.use_huge_pages()
    from cnn_jax import runs

    startup.CLOCK.imported()
    startup.use_cache()
    return runs


def default_workdir(spec: str) -> Path:
    """Returns the folder of a run without --workdir: `runs/<config name>[-<arg>]`.

    Args:
      spec: the config file, `FILE.py` or `FILE.py:ARG`.
    """
    file, argument = paths.split_recipe(spec)
    name = "-".join(filter(None, [Path(file).stem, argument]))
    return Path("runs") / name.replace("/", "-")


def run(main: Callable[[], None]) -> None:
    """Runs a command's function `main`, and reports its errors to the user.

    A `UserError` is printed as one line on stderr, and the exit code is 1.
    """
    # Orbax and its event loops also log the traceback of every error that they raise.
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.unraisablehook = _unraisable
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # the terminal may not be UTF-8
            stream.reconfigure(errors="backslashreplace")
    try:
        with contextlib.suppress(FileNotFoundError):  # the folder was removed
            imports.add(os.getcwd())
        with shown_warnings(), hosts.farewell():
            main()
            sys.stdout.flush()
    except UserError as error:
        _fail(str(error))
    except BrokenPipeError:
        # The reader of our output has ended (`... | head`), so nothing can be printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:
        # Errors of the machine are one line; other errors are bugs: show the traceback.
        if error.errno not in MACHINE_ERRORS:
            raise
        place = f" ({error.filename})" if error.filename else ""
        _fail(f"{error.strerror}{place}")
    except (MemoryError, RuntimeError) as error:
        # JAX raises a RuntimeError when a device has no memory left.
        if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        reason = (str(error).splitlines() or [""])[0]
        _fail(
            f"memory ran out ({reason}): use a smaller batch (config.data.batch_size), "
            "smaller images or a smaller network."
        )
    except KeyboardInterrupt:
        raise SystemExit(130) from None


@contextlib.contextmanager
def shown_warnings() -> Iterator[None]:
    """Prints each `DataWarning` raised inside the `with` block as one line on stderr.

    A warning that is raised several times is printed once.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        # Matplotlib draws a box for a missing character: no warning is needed.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        others, said = warnings.showwarning, set()

        def show(message, category, *place, **options) -> None:
            if not issubclass(category, DataWarning):
                others(message, category, *place, **options)
            elif (text := names.text(" ".join(str(message).split("\n")))) not in said:
                said.add(text)
                tqdm.write(f"warning: {text}", file=sys.stderr)

        warnings.showwarning = show
        yield


def _unraisable(info: Any) -> None:
    """Shows an error that no code can catch, such as an error in a thread's cleanup.

    One known error of TensorStore is not shown. After a failed read or write,
    TensorStore's threads still call an event loop that Orbax has closed. The failed
    read or write itself has already been reported.

    Args:
      info: the argument of `sys.unraisablehook`.
    """
    if "Event loop is closed" not in str(info.exc_value):
        sys.__unraisablehook__(info)


def _fail(message: str) -> None:
    print("error:", names.text(" ".join(message.split("\n"))), file=sys.stderr)
    raise SystemExit(1)
