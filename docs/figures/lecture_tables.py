"""Writes the generated tables of the lecture's pages.

    python docs/figures/lecture_tables.py

A page names a table by two lines, `<!-- table: NAME -->` and `<!-- end of table: NAME
-->`. NAME is `summary MODEL`, what `cnn_jax.summary --model=MODEL --format=markdown`
prints, or `experiment NAME`, the arms of an experiment in experiments/README.md.
"""

import re
from pathlib import Path

from cnn_jax.analysis import costs, overview, page_tables

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "lecture"
TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
NAMED = re.compile(r"^<!-- (table: .+) -->$", re.MULTILINE)
# Columns of experiments/README.md that the pages leave out.
LEFT_OUT = {"95%, seeds only", "adjusted p", "MACs", "examples/s"}


def text(name: str) -> str:
    """Returns the table of that name, in Markdown."""
    kind, _, argument = name.removeprefix("table: ").partition(" ")
    made = {"summary": summary, "experiment": experiment}
    return made[kind](argument)


def summary(model: str) -> str:
    """Returns the layers of a network in its published setting."""
    return costs.render(overview.published_table(model), "markdown")


def experiment(name: str) -> str:
    """Returns the arms of an experiment: metric, difference, interval and verdict."""
    page = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    _, begin, section = page.partition(f"<!-- {name} -->")
    section, end, _ = section.partition(f"<!-- end of {name} -->")
    if not begin or not end:
        raise SystemExit(f"experiments/README.md has no section {name}")
    arms, *others = (cells(text) for text in TABLE.findall(section))
    kept = [i for i, column in enumerate(arms[0]) if column not in LEFT_OUT]
    rows = [[row[i] for i in kept] for row in arms]
    for decided in others:
        if "verdict" in decided[0]:
            verdicts = {row[0]: row[2] for row in decided}
            place = rows[0].index("95% interval") + 1
            rows = [
                [*row[:place], verdicts.get(row[0], ""), *row[place:]] for row in rows
            ]
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def cells(table: str) -> list[list[str]]:
    """Returns the cells of a table in Markdown, without the line of dashes."""
    rows = [
        [cell.strip().replace("+-", "±") for cell in line.strip("|").split("|")]
        for line in table.splitlines()
    ]
    return [rows[0], *rows[2:]]


def main() -> None:
    for path in sorted(PAGES.glob("*.md")):
        for name in NAMED.findall(path.read_text(encoding="utf-8")):
            page_tables.update(path, name, text(name))
            print(f"{path}: {name}")


if __name__ == "__main__":
    main()
