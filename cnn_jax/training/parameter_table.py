"""A table of the parameters of a run: which are trained, frozen and decayed."""

import math
from collections import Counter
from collections.abc import Collection, Mapping

from tabulate import tabulate

from cnn_jax.training.freezing import Part, Path, Plan
from cnn_jax.training.weight_decay import decays


def table(
    shapes: Mapping[Path, tuple[int, ...]],
    plan: Plan | None,
    loaded: Collection[Path] | None,
    weight_decay: float | None,
) -> str:
    """Returns a text table with one row for each top-level module of the network.

    The columns are the numbers of all parameters, of the parameters from a file, of the
    trained parameters and of those that decay; the step from which the module is
    trained, the factors of the learning rate, and the weight decays.

    Args:
      shapes: the shape of each parameter by its path.
      plan: how each parameter is trained; None: all parameters are trained in the same
        way.
      loaded: the paths of the parameters that start from a file; None if the run does
        not start from a file.
      weight_decay: the weight decay of the optimizer; None if it is not known.
    """
    parts = plan.parts if plan else dict.fromkeys(shapes, Part())
    columns = {
        "parameters": "all",
        **({"from the file": "loaded"} if loaded is not None else {}),
        "trained": "trained",
        **({"decayed": "decayed"} if weight_decay is not None else {}),
    }
    rows, sums = [], Counter[str]()
    for module in dict.fromkeys(path[0] for path in shapes):
        counts: Counter[str] = Counter()
        starts, rates, decay_rates = set(), set(), set()
        for path in (path for path in shapes if path[0] == module):
            size, part = math.prod(shapes[path]), parts[path]
            counts["all"] += size
            counts["loaded"] += size * (path in (loaded or ()))
            if part.start is None:
                continue
            counts["trained"] += size
            starts.add(part.start)
            rates.add(part.rate)
            decay = weight_decay if part.weight_decay is None else part.weight_decay
            if decay and decays(path[-1], len(shapes[path])):
                counts["decayed"] += size
                decay_rates.add(decay)
        sums += counts
        row = [module, *(f"{counts[key]:,}" for key in columns.values())]
        row += [", ".join(f"{start:,}" for start in sorted(starts))]
        row += [
            ", ".join(f"{value:.3g}" for value in sorted(values))
            for values in (rates, decay_rates)
        ]
        rows.append(row)
    rows.append(["all", *(f"{sums[key]:,}" for key in columns.values())])
    headers = ["part", *columns, "from step", "learning rate x"]
    if weight_decay is None:
        rows = [row[: len(headers)] for row in rows]
    else:
        headers.append("weight decay")
    return tabulate(
        rows,
        headers,
        "simple",
        disable_numparse=True,
        colalign=("left", *["right"] * (len(headers) - 1)),
    )
