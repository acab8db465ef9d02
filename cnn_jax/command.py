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
    """An `ArgumentParser` with one-line errors and, on request, config overrides."""

    def __init__(self, module: str, description: str, *, overrides: bool = False):
        super().__init__(
            prog=program(module),
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self._overrides = overrides

    def error(self, message: str) -> NoReturn:
        """Prints the mistake as one line on stderr, and ends with exit code 2."""
        line = f"error: {names.text(message)} (--help lists the flags)"
        print(line, file=sys.stderr)
        raise SystemExit(2)

    def parse(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        """Returns the flags; `.overrides` has the text of each `--config.a.b=value`."""
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
                self.error(f"--config.{key} needs a value")
            overrides[key] = value
        flags = self.parse_args(rest)
        flags.overrides = overrides
        return flags


def program(module: str) -> str:
    """Returns how the user called this command: `cnn-jax train` or `python -m ...`."""
    own = sys.argv[0].startswith(f"{PROGRAM} ")
    return sys.argv[0] if own else f"python -m cnn_jax.{module}"


def count(text: str) -> int:
    """Returns the number of a flag, which must be at least 1."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number


def path(text: str) -> Path:
    """Returns the path that a flag names, with `~` expanded."""
    try:
        return Path(paths.expanded(text))
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def recipe(text: str) -> str:
    """Returns `FILE.py[:ARG]`, with `~` expanded."""
    file, argument = paths.split_recipe(text)
    return ":".join(filter(None, [str(path(file)), argument]))


def add_config(parser: Parser, *, required: bool = True) -> None:
    """Adds the flag `--config`."""
    parser.add_argument(
        "--config",
        required=required,
        type=recipe,
        metavar="FILE.py[:ARG]",
        help="the config file; --config.GROUP.KEY=VALUE changes any of its values",
    )


def load_config(flags: argparse.Namespace, *, smoke: bool = False):
    """Returns the resolved config that the flags describe."""
    from cnn_jax.runs import resolve
    from cnn_jax.training import config

    make = resolve.resolve_smoke if smoke else resolve.resolve
    return make(config.load_file(flags.config), flags.overrides)


def runs() -> ModuleType:
    """Returns the module `cnn_jax.runs`, and turns on the compilation cache.

    The import takes a second, and the process may be started again with huge pages.
    Call this after the flags are checked and before any work is done.
    """
    startup.use_huge_pages()
    from cnn_jax import runs

    startup.CLOCK.imported()
    startup.use_cache()
    return runs


def default_workdir(spec: str) -> Path:
    """Returns the folder `runs/<config name>[-<arg>]`."""
    file, argument = paths.split_recipe(spec)
    name = "-".join(filter(None, [Path(file).stem, argument]))
    return Path("runs") / name.replace("/", "-")


def run(main: Callable[[], None]) -> None:
    """Runs a command. A `UserError` becomes one line on stderr and exit code 1."""
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
        _fail(f"memory ran out ({reason}): take a smaller batch, image or network.")
    except KeyboardInterrupt:
        raise SystemExit(130) from None


@contextlib.contextmanager
def shown_warnings() -> Iterator[None]:
    """Prints each `DataWarning` of the block once, as one line on stderr."""
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
    """Shows an error that no code can catch, except a known one of TensorStore.

    After a failed read or write, TensorStore's threads still call an event loop that
    Orbax has closed. The failure itself has been reported by then.
    """
    if "Event loop is closed" not in str(info.exc_value):
        sys.__unraisablehook__(info)


def _fail(message: str) -> None:
    print("error:", names.text(" ".join(message.split("\n"))), file=sys.stderr)
    raise SystemExit(1)
