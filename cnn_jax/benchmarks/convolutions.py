"""Times single convolutions of each kind: ours, plain Flax's and PyTorch's.

The time of a whole network does not show the cost of one layer. Here the usual kinds of
convolution are timed one by one, with as many channels as in the middle of a ResNet.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from tabulate import tabulate

from cnn_jax import layers
from cnn_jax.benchmarks import timing, torch_peer
from cnn_jax.benchmarks.measure import Protocol
from cnn_jax.benchmarks.peers import NoPeer

Row = dict[str, Any]

# Names of the implementations; a row has None for one that is not installed.
OURS, FLAX, TORCH = NAMES = ("cnn_jax", "flax", "torch")


@dataclass(frozen=True)
class Kind:
    """A kind of convolution, and the shape of its input.

    The output has as many channels as the input.

    Attributes:
      name: the name of the kind, as in the table.
      window: the kernel size along each spatial dimension.
      size: the size of the input's feature maps.
      batch_size: the number of examples.
      channels: the number of channels of the input and of the output.
      stride: the stride along each spatial dimension.
      dilation: the dilation along each spatial dimension.
      groups: the number of groups of channels.
      transposed: whether the convolution is transposed.
    """

    name: str
    window: int = 3
    size: tuple[int, ...] = (32, 32)
    batch_size: int = 32
    channels: int = 64
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    transposed: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the input: (batch, *space, channels)."""
        return (self.batch_size, *self.size, self.channels)

    def flax(self, ours: bool) -> nn.Module:
        """Returns the convolution as a linen module.

        Args:
          ours: whether the module is from `cnn_jax.layers` or from `flax.linen`.
        """
        room, groups = (layers, "groups") if ours else (nn, "feature_group_count")
        dilation = "dilation" if ours else "kernel_dilation"
        window, same = (self.window,) * len(self.size), self._padding
        strides = (self.stride,) * len(self.size)
        if self.transposed:
            return room.ConvTranspose(self.channels, window, strides, padding="SAME")
        options = {
            groups: self.groups,
            dilation: (self.dilation,) * len(self.size),
        }
        return room.Conv(
            self.channels, window, strides=strides, padding=same, **options
        )

    def torch(self, torch: Any) -> Any:
        """Returns the convolution as a PyTorch module. `torch` is the package."""
        kind = "ConvTranspose" if self.transposed else "Conv"
        options = {"output_padding": self.stride - 1} if self.transposed else {}
        return getattr(torch.nn, f"{kind}{len(self.size)}d")(
            self.channels,
            self.channels,
            self.window,
            stride=self.stride,
            padding=self._padding,
            dilation=self.dilation,
            groups=self.groups,
            **options,
        )

    @property
    def _padding(self) -> int:
        return self.dilation * (self.window // 2)


KINDS = (
    Kind("3x3"),
    Kind("1x1", window=1),
    Kind("5x5", window=5),
    Kind("3x3, stride 2", stride=2),
    Kind("3x3, dilation 2", dilation=2),
    Kind("3x3, dilation 4", dilation=4),
    Kind("3x3, 8 groups", groups=8),
    Kind("3x3, depthwise", groups=64),
    Kind("3x3 transposed, stride 2", size=(16, 16), stride=2, transposed=True),
    Kind("3x3x3", size=(8, 16, 16), batch_size=4),
    Kind("3x3x3, stride 2", size=(8, 16, 16), batch_size=4, stride=2),
)


def rows(protocol: Protocol) -> Iterator[Row]:
    """Times each kind of convolution in each mode.

    In the mode "infer" the convolution is timed. In the mode "train" the gradients with
    respect to the input and the kernel are computed and timed too.

    Yields:
      {"kind", "input_shape", "mode", "step_ms"}. "step_ms" has the median time of each
      implementation, by name; None if the implementation is not installed.
    """
    library = _torch()
    for kind in KINDS:
        for mode in timing.MODES:
            runs = {
                OURS: _in_jax(kind, mode, ours=True),
                FLAX: _in_jax(kind, mode, ours=False),
            }
            if library:
                runs[TORCH] = _in_torch(kind, mode, library)
            times = timing.alternate(
                list(runs.values()),
                repeats=protocol.repeats,
                warmup=protocol.warmup,
                steps=timing.steps_at_once(),
                seconds=protocol.seconds,
            )
            found = dict(zip(runs, (time.median_ms for time in times), strict=True))
            yield {
                "kind": kind.name,
                "input_shape": list(kind.shape),
                "mode": mode,
                "step_ms": {name: found.get(name) for name in NAMES},
            }


def markdown(found: list[Row]) -> str:
    """Returns a Markdown table with one row for each kind of convolution and mode.

    A row has the time of each implementation. For each other implementation, the row
    also has our time divided by the time of this implementation.

    Args:
      found: the result of `rows`.
    """
    lines = []
    for row in found:
        times = row["step_ms"]
        line = [row["kind"], "x".join(map(str, row["input_shape"])), row["mode"]]
        line += [_text(times[name]) for name in NAMES]
        for name in (FLAX, TORCH):
            line.append(_text(times[name] and times[OURS] / times[name]))
        lines.append(line)
    ratios = [f"ratio to {name}" for name in (FLAX, TORCH)]
    return tabulate(
        lines,
        headers=["kind", "input", "mode", *(f"{name} ms" for name in NAMES), *ratios],
        tablefmt="github",
        disable_numparse=True,
        colalign=("left", *["right"] * (2 + len(NAMES) + len(ratios))),
    )


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def dtype() -> str:
    """Returns the dtype that networks are usually trained in on JAX's backend."""
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def _input(kind: Kind) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(kind.shape).astype(np.float32)


def _in_jax(kind: Kind, mode: str, *, ours: bool) -> timing.Run:
    layer = kind.flax(ours).clone(dtype=dtype())
    x = jnp.asarray(_input(kind), dtype())
    variables = layer.init(jax.random.key(0), x)

    @jax.jit
    def step(variables, x):
        if mode == "infer":
            return layer.apply(variables, x)
        y, gradient = jax.vjp(layer.apply, variables, x)
        return y, gradient(y)

    def run(steps: int) -> None:
        for _ in range(steps):
            result = step(variables, x)
        jax.block_until_ready(result)

    return run


def _torch() -> Any:
    """Returns the module `torch`; None if PyTorch cannot be timed on this machine."""
    try:
        return torch_peer.library()
    except NoPeer:
        return None


def _in_torch(kind: Kind, mode: str, torch: Any) -> timing.Run:
    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    rank = len(kind.size)
    layout = torch.channels_last if rank == 2 else torch.channels_last_3d
    to = {"device": device, "dtype": getattr(torch, dtype()), "memory_format": layout}
    layer = kind.torch(torch).to(**to)
    x = torch.from_numpy(np.moveaxis(_input(kind), -1, 1).copy()).to(**to)
    learned = [*layer.parameters(), x.requires_grad_(mode == "train")]

    def step() -> None:
        if mode == "infer":
            with torch.inference_mode():
                layer(x)
        else:
            y = layer(x)
            torch.autograd.grad(y, learned, y.detach())

    def run(steps: int) -> None:
        for _ in range(steps):
            step()
        if device == "cuda":
            torch.cuda.synchronize()

    return run
