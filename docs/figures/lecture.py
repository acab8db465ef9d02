"""Computes the lecture's figures.

    python docs/figures/lecture.py            # all of them
    python docs/figures/lecture.py pooling    # one of them

Each figure is a function that uses the package's own layers and embedded pictures. The
figures are written to docs/lecture/figures/.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import lecture_arithmetic as arithmetic
import lecture_blocks as blocks
import lecture_drawing as drawing
import lecture_networks as networks
from matplotlib.figure import Figure

FOLDER = Path(__file__).parents[1] / "lecture" / "figures"

FIGURES: dict[str, Callable[[], Figure]] = {
    made.__name__: made
    for made in (
        arithmetic.convolution,
        arithmetic.padding_and_stride,
        arithmetic.sizes,
        arithmetic.channels,
        arithmetic.filters,
        arithmetic.matrix_product,
        arithmetic.pooling,
        arithmetic.dilation,
        arithmetic.backpropagation,
        blocks.pointwise,
        blocks.fire,
        blocks.inception,
        blocks.residual,
        blocks.flattened,
        blocks.parameter_sharing,
        blocks.conv3d,
        networks.subsampling,
        networks.global_average_pooling,
        networks.transfer,
        networks.verify,
        networks.architectures,
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where they go")
    flags = parser.parse_args()
    unknown = set(flags.names) - set(FIGURES)
    if unknown:
        parser.error(f"no figure {', '.join(sorted(unknown))} of {', '.join(FIGURES)}")
    flags.folder.mkdir(parents=True, exist_ok=True)
    for name in flags.names or FIGURES:
        path = flags.folder / f"{name}.png"
        drawing.save(FIGURES[name](), path)
        print(path)


if __name__ == "__main__":
    main()
