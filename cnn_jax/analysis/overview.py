"""One table of all architectures, which compares their costs with published costs."""

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
      receptive_field, output_stride: the receptive field and the stride of the last
        feature map before the head, along each dimension; None for a network without
        feature maps.
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
        """The number of parameters minus the published number of parameters.

        The parameters of auxiliary heads count if the published number includes them.
        None if no number is published.
        """
        if self.published.parameters is None:
            return None
        ours = self.parameters
        if self.published.auxiliary:
            ours += self.training_only_parameters
        return ours - self.published.parameters

    @property
    def macs_difference(self) -> int | None:
        """The number of multiply-accumulates minus the published number.

        Our number is first rounded to millions, like the published number. None if no
        number is published.
        """
        if self.published.macs is None:
            return None
        ours = self.macs + self.published.auxiliary_macs
        return round(ours / MILLION) * MILLION - self.published.macs


def published_table(name: str) -> costs.Table:
    """Returns the layer table of the architecture `name` in its published setting."""
    model = models.create(name, num_classes=models.published(name).num_classes)
    return costs.layer_table(model, models.published_shape(name))


def summarize(name: str, table: costs.Table) -> Summary:
    """Returns the summary of the architecture `name`.

    Args:
      name: the name in `models.MODELS`.
      table: the result of `published_table`.
    """
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
    """Returns a dict for each architecture, for `json.dumps`.

    The keys are the attributes of `Summary`, the published figures, and the differences
    between our figures and the published figures.
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
    """Returns the table as text.

    Args:
      summaries: the summary of each architecture.
      format: "table" (for a terminal), "markdown" or "json".

    Raises:
      UserError: if the format is unknown.
    """
    if format not in costs.FORMATS:
        raise unknown("format", format, costs.FORMATS)
    if format == "json":
        return strict_json.dumps(as_json(summaries), indent=2)
    headers = ["network", "input", "parameters", "published parameters", "macs"]
    headers += ["weighted layers", "receptive field / stride", "published by"]
    columns = len(headers) if format == "markdown" else len(headers) - 1
    return tabulate(
        [_row(summary)[:columns] for summary in summaries],
        headers=headers[:columns],
        tablefmt=costs.FORMATS[format],
        colalign=[*["left"] * 2, *["right"] * 5, "left"][:columns],
        disable_numparse=True,
    )


def _row(summary: Summary) -> list[str]:
    """Returns the cells of an architecture's row in the table.

    A difference to a published figure is shown unless it is 0.
    """
    published = summary.published
    training_only = summary.training_only_parameters
    field = costs.field_text(summary.receptive_field)
    parameters = "-"
    if published.parameters is not None:
        parameters = f"{published.parameters:,}{' in all' * published.auxiliary}"
        parameters += _difference(summary.parameter_difference)
    return [
        summary.name,
        costs.field_text(published.input_shape),
        f"{summary.parameters:,}"
        + (f" + {training_only:,} in training" if training_only else ""),
        parameters,
        f"{summary.macs:,}{_difference(summary.macs_difference)}",
        str(summary.weighted_layers),
        field
        if field == "-"
        else f"{field} / {costs.field_text(summary.output_stride)}",
        published.source.replace("*", r"\*"),  # for Markdown; the table leaves it out
    ]


def _difference(value: int | None) -> str:
    return f" (differs by {value:+,})" if value else ""


def update(path: Path, table: str) -> None:
    """Writes a table into a file, between the marker lines for this table.

    Args:
      path: the file.
      table: the table in Markdown.

    Raises:
      UserError: if the file does not contain the two marker lines.
    """
    page_tables.update(path, NAME, table)
