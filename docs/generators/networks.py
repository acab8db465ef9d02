"""The page of all networks: the table of `summary --all`."""

from cnn_jax import models
from cnn_jax.analysis import overview
from docs.generators import markdown

INTRODUCTION = """
The table lists the networks of `cnn_jax.models.MODELS` as they were published.
`fcos:NAME`, `unet:NAME`, `pixels:NAME`, `johnson:NAME` and `adain:NAME` are networks on
a backbone, a network of the table. [Config keys](config_keys.md#model) lists the
attributes of each network, and `python -m cnn_jax.summary --model=resnet50` prints its
layers.

* input: the shape of one image, or of one clip with its frames first.
* parameters: trainable parameters. Auxiliary heads, which only training uses, are
  counted apart.
* published parameters: the number in the source. A difference from ours is stated.
* macs: multiply-accumulates on one example in evaluation. Where the source has a
  number, ours is equal after rounding to millions, unless a difference is stated.
* weighted layers: calls of convolutions and fully connected layers in evaluation,
  without those of shortcuts.
* receptive field / stride: of the last feature map, in pixels of the input.

This command writes the table:

    python -m cnn_jax.summary --all --update=docs/reference/networks.md
"""


def page() -> str:
    """Returns the page. All networks are traced, which takes a minute."""
    summaries = [
        overview.summarize(name, overview.published_table(name))
        for name in models.MODELS
    ]
    return page_around(overview.render(summaries, "markdown"))


def page_around(table: str) -> str:
    """Returns the page with a table that was made before."""
    block = f"{overview.BEGIN}\n{table}\n{overview.END}"
    return markdown.page("Networks", INTRODUCTION, [block])
