"""Converts weights between torchvision's format and the format of cnn_jax.

    python -m cnn_jax.convert --model=resnet18 --weights=resnet18.pth --output=weights
    python -m cnn_jax.convert --workdir=runs/resnet --output=resnet.safetensors

The first command reads a weight file of torchvision and writes a folder. The folder has
an Orbax checkpoint with `params` and `batch_stats`, and the file weights.json, which
names the model. With --config.model.init_from=PATH, a run starts from this folder, or
directly from torchvision's file. The second command exports a trained run's checkpoint
as a state dict, which torchvision's network of the same name can load.
"""

from typing import Any

from cnn_jax import command

# These functions need JAX, so they are imported on first use.
LIBRARY = ("from_torch", "to_torch")


def __getattr__(name: str) -> Any:
    """Returns the function `name` of `weights.torch_weights`, if it is in `LIBRARY`.

    The first call imports the module, and with it JAX.
    """
    if name not in LIBRARY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cnn_jax.weights import torch_weights

    return getattr(torch_weights, name)


def main() -> None:
    parser = command.Parser("convert", __doc__)
    parser.add_argument("--model", metavar="NAME", help="a network's name")
    parser.add_argument(
        "--weights",
        type=command.path,
        help="the weight file of --model: .safetensors, .pth or .pt",
    )
    parser.add_argument("--workdir", type=command.path, help="a trained run's folder")
    parser.add_argument(
        "--checkpoint",
        metavar="best|last|STEP",
        help="the run's checkpoint (default: best if the run has a validation split, "
        "otherwise last)",
    )
    parser.add_argument(
        "--output",
        type=command.path,
        required=True,
        help="the folder to write; with --workdir, the .safetensors file",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an existing --output"
    )
    flags = parser.parse()
    if flags.workdir and (flags.model or flags.weights):
        parser.error(
            "--workdir cannot be combined with --model and --weights: give --workdir "
            "to export a run, or --model and --weights to import weights"
        )
    if not flags.workdir and not (flags.model and flags.weights):
        parser.error(
            "give --workdir to export a run, or both --model and --weights to import "
            "weights"
        )

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
