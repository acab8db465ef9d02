"""One table of all architectures: their costs, beside the published ones."""

import dataclasses
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from tabulate import tabulate

from cnn_jax import models
from cnn_jax.analysis import costs, page_tables
from cnn_jax.core import strict_json
from cnn_jax.core.errors import unknown
from cnn_jax.models.spec import Published

MILLION = 10**6

# The table is written between these two lines of a file.
NAME = "summary --all"
BEGIN, END = page_tables.lines(NAME)


@dataclasses.dataclass(frozen=True)
class Summary:
    """One architecture in its published setting.

    Attributes:
      name: the name in `models.MODELS`.
      published: the published setting and figures.
      parameters, training_only_parameters, macs, weighted_layers: see `costs.Table`.
      receptive_field, output_stride: of the feature map before the head, along each
        dimension; None for a network without feature maps.
    """

    name: str
    published: Published
    parameters: int
    training_only_parameters: int
    macs: int
    weighted_layers: int
    receptive_field: tuple[int, ...] | None
    output_stride: tuple[Fraction | None, ...] | None

    @property
    def parameter_difference(self) -> int | None:
        """The number of parameters minus the published one; None if none is published.

        Auxiliary heads count if they count in the published figure.
        """
        if self.published.parameters is None:
            return None
        ours = self.parameters
        if self.published.auxiliary:
            ours += self.training_only_parameters
        return ours - self.published.parameters

    @property
    def macs_difference(self) -> int | None:
        """The multiply-accumulates minus the published ones; None if there are none.

        They are rounded to millions first, like the published ones.
        """
        if self.published.macs is None:
            return None
        ours = self.macs + self.published.auxiliary_macs
        return round(ours / MILLION) * MILLION - self.published.macs


def published_table(name: str) -> costs.Table:
    """Returns the layers of the architecture `name` in its published setting."""
    model = models.create(name, num_classes=models.published(name).num_classes)
    return costs.layer_table(model, models.published_shape(name))


def summarize(name: str, table: costs.Table) -> Summary:
    """Returns the summary of the architecture `name`, given its `published_table`."""
    features = table.features
    return Summary(
        name,
        models.published(name),
        table.parameters,
        table.training_only_parameters,
        table.macs,
        table.weighted_layers,
        features.receptive_field if features else None,
        features.stride if features else None,
    )


def as_json(summaries: Iterable[Summary]) -> list[dict[str, Any]]:
    """Returns the summaries for `json.dumps`.

    Each object has the attributes of `Summary`, the published figures, and the
    differences.
    """
    rows = []
    for summary in summaries:
        row = dataclasses.asdict(summary)
        if summary.output_stride is not None:
            row["output_stride"] = [
                costs.whole_or_float(stride) for stride in summary.output_stride
            ]
        row["parameter_difference"] = summary.parameter_difference
        row["macs_difference"] = summary.macs_difference
        rows.append(row)
    return rows


def render(summaries: Sequence[Summary], format: str = "table") -> str:
    """Returns the table as text: "table" for a terminal, "markdown" or "json".

    Raises:
      UserError: the format is unknown.
    """
    if format not in costs.FORMATS:
        raise unknown("format", format, costs.FORMATS)
    if format == "json":
        return strict_json.dumps(as_json(summaries), indent=2)
    headers = ["network", "input", "parameters", "in training only", "macs"]
    headers += ["weighted layers", "receptive field", "output stride"]
    headers += ["published parameters", "difference", "published macs", "difference"]
    rows = []
    for summary in summaries:
        published = summary.published
        parameters = _or_dash(published.parameters, "{:,}")
        macs = published.macs and published.macs // MILLION
        row = [
            summary.name,
            costs.field_text(published.input_shape),
            f"{summary.parameters:,}",
            f"{summary.training_only_parameters:,}",
            f"{summary.macs:,}",
            summary.weighted_layers,
            costs.field_text(summary.receptive_field),
            costs.field_text(summary.output_stride),
            f"{parameters} in all" if published.auxiliary else parameters,
            _or_dash(summary.parameter_difference, "{:+,}"),
            _or_dash(macs, "{:,} M"),
            _or_dash(summary.macs_difference, "{:+,}"),
        ]
        row[3] = row[3] if summary.training_only_parameters else ""
        rows.append([*row, published.source] if format == "markdown" else row)
    if format == "markdown":
        headers.append("published by")
    right, left = ("right",), ("left",)
    return tabulate(
        rows,
        headers=headers,
        tablefmt=costs.FORMATS[format],
        colalign=left * 2 + right * 10 + left * (len(headers) - 12),
        disable_numparse=True,
    )


def _or_dash(value: int | None, format: str) -> str:
    if value is None:
        return "-"
    return format.format(value) if value else "0"


def update(path: Path, table: str) -> None:
    """Writes the table into a file, between the lines `BEGIN` and `END`.

    Raises:
      UserError: the file does not contain these two lines.
    """
    page_tables.update(path, NAME, table)
