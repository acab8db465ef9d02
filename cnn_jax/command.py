"""What the commands share: flags, config overrides, and how they end."""

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
    """argparse with one line for a mistake, and `--config.a.b=value` on request."""

    def __init__(self, module: str, description: str, *, overrides: bool = False):
        super().__init__(
            prog=program(module),
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self._overrides = overrides

    def error(self, message: str) -> NoReturn:
        line = f"error: {names.text(message)} (--help lists the flags)"
        print(line, file=sys.stderr)
        raise SystemExit(2)

    def parse(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        """The flags; `.overrides` holds the text of each `--config.a.b=value`."""
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
    """Returns how this command was called: `cnn-jax train` or `python -m ...`."""
    own = sys.argv[0].startswith(f"{PROGRAM} ")
    return sys.argv[0] if own else f"python -m cnn_jax.{module}"


def count(text: str) -> int:
    """A flag's number of at least 1."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("it must be at least 1")
    return number


def path(text: str) -> Path:
    """Returns the path that a flag names, `~` expanded."""
    try:
        return Path(paths.expanded(text))
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def recipe(text: str) -> str:
    """Returns `FILE.py[:ARG]`, `~` expanded."""
    file, argument = paths.split_recipe(text)
    return ":".join(filter(None, [str(path(file)), argument]))


def add_config(parser: Parser, *, required: bool = True) -> None:
    """The flag `--config`."""
    parser.add_argument(
        "--config",
        required=required,
        type=recipe,
        metavar="FILE.py[:ARG]",
        help="the recipe; any of its values is set with --config.GROUP.KEY=VALUE",
    )


def load_config(flags: argparse.Namespace, *, smoke: bool = False):
    """The resolved config that the flags describe."""
    from cnn_jax.runs import resolve
    from cnn_jax.training import config

    make = resolve.resolve_smoke if smoke else resolve.resolve
    return make(config.load_file(flags.config), flags.overrides)


def runs() -> ModuleType:
    """Returns `cnn_jax.runs`, with compiled programs kept from start to start.

    It takes a second to import, and may start the process again: ask for it when the
    flags are known to be right, before anything is done.
    """
    startup.use_huge_pages()
    from cnn_jax import runs

    startup.CLOCK.imported()
    startup.use_cache()
    return runs


def default_workdir(spec: str) -> Path:
    """`runs/<config name>[-<arg>]`."""
    file, argument = paths.split_recipe(spec)
    name = "-".join(filter(None, [Path(file).stem, argument]))
    return Path("runs") / name.replace("/", "-")


def run(main: Callable[[], None]) -> None:
    """Runs a command. A user's mistake is one line on stderr and exit code 1."""
    # Orbax and its event loops log the tracebacks of errors that are also raised.
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.unraisablehook = _unraisable
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may lack characters
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
        # The reader of our output left (`... | head`): nothing to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:
        # Of the machine, not of the program; the rest are bugs and show a traceback.
        if error.errno not in MACHINE_ERRORS:
            raise
        place = f" ({error.filename})" if error.filename else ""
        _fail(f"{error.strerror}{place}")
    except (MemoryError, RuntimeError) as error:
        # JAX says so where a device has no room.
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
        # Matplotlib draws a box for a character that its font lacks.
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
    """Shows what was raised where nobody can catch it, but for TensorStore's echo.

    After a read or write that failed, its threads still call on an event loop that
    Orbax has closed; the failure itself is reported by then.
    """
    if "Event loop is closed" not in str(info.exc_value):
        sys.__unraisablehook__(info)


def _fail(message: str) -> None:
    print("error:", names.text(" ".join(message.split("\n"))), file=sys.stderr)
    raise SystemExit(1)
