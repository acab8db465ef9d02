"""Translates weights from torchvision's names and layouts, and back.

    python -m cnn_jax.convert --model=resnet18 --weights=resnet18.pth --output=weights
    python -m cnn_jax.convert --workdir=runs/resnet --output=resnet.safetensors

The first writes a folder: a checkpoint of Orbax, {"params", "batch_stats"}, and
weights.json, which says of what. A network starts from it, or from the file itself,
with --config.model.init_from=PATH. The second takes a trained run's checkpoint; the
file is a state dict that torchvision's network of that name loads.
"""

from typing import Any

from cnn_jax import command

# Imported when they are asked for: they bring JAX with them.
LIBRARY = ("from_torch", "to_torch")


def __getattr__(name: str) -> Any:
    """The functions of `LIBRARY`."""
    if name not in LIBRARY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cnn_jax.weights import torch_weights

    return getattr(torch_weights, name)


def main() -> None:
    parser = command.Parser("convert", __doc__)
    parser.add_argument("--model", metavar="NAME", help="a network by name")
    parser.add_argument(
        "--weights", type=command.path, help="its weights: .safetensors, .pth or .pt"
    )
    parser.add_argument("--workdir", type=command.path, help="a trained run's folder")
    parser.add_argument(
        "--checkpoint",
        default="best",
        metavar="best|last|STEP",
        help="of --workdir; default: best",
    )
    parser.add_argument(
        "--output",
        type=command.path,
        required=True,
        help="a folder; with --workdir, a .safetensors file",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace what is at --output"
    )
    flags = parser.parse()
    if flags.workdir and (flags.model or flags.weights):
        parser.error("give --workdir, or --model and --weights")
    if not flags.workdir and not (flags.model and flags.weights):
        parser.error("give both --model and --weights, or --workdir")

    if flags.workdir:
        from cnn_jax import runs

        report = runs.export_weights(
            flags.workdir,
            flags.output,
            checkpoint=flags.checkpoint,
            overwrite=flags.overwrite,
        )
    else:
        from cnn_jax.weights import pretrained

        report = pretrained.convert(
            flags.model, flags.weights, flags.output, overwrite=flags.overwrite
        )
    print(report)


if __name__ == "__main__":
    command.run(main)
