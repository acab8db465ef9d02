"""Writes the pages of the reference that are made from the code.

    python docs/generate.py
    python docs/generate.py --check
    python docs/generate.py --only=commands,layers

`--check` writes nothing: it fails if a page on the disk differs.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from docs.generators import (  # noqa: E402
    commands,
    config_keys,
    errors,
    layers,
    networks,
)

PAGES: dict[str, tuple[str, Callable[[], str]]] = {
    "config_keys": ("reference/config_keys.md", config_keys.page),
    "commands": ("reference/commands.md", commands.page),
    "layers": ("reference/layers.md", layers.page),
    "networks": ("reference/networks.md", networks.page),
    "errors": ("errors.md", errors.page),
}


def stale(names: Iterable[str] = PAGES) -> list[str]:
    """Returns the pages that are missing, or differ from what the code says."""
    found = []
    for name in names:
        path, make = PAGES[name]
        file = DOCS / path
        if not file.is_file() or file.read_text(encoding="utf-8") != make():
            found.append(path)
    return found


def write(names: Iterable[str] = PAGES) -> None:
    """Writes the pages."""
    for name in names:
        path, make = PAGES[name]
        (DOCS / path).parent.mkdir(exist_ok=True)
        (DOCS / path).write_text(make(), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument(
        "--only",
        default=",".join(PAGES),
        metavar="NAMES",
        help=f"some of {', '.join(PAGES)}",
    )
    flags = parser.parse_args()
    names = flags.only.split(",")
    if unknown := set(names) - PAGES.keys():
        parser.error(f"unknown page {min(unknown)}")
    if not flags.check:
        write(names)
    elif pages := stale(names):
        text = f"{', '.join(pages)} differ from the code: run python docs/generate.py"
        raise SystemExit(f"error: {text}")


if __name__ == "__main__":
    main()
