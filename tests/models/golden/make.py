"""Makes the files of this folder; see README.md. Needs PyTorch and torchvision.

python tests/models/golden/make.py [NAME ...]
"""

import json
import sys
import zlib
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent

IMAGE, CLIP = (1, 3, 64, 64), (1, 3, 8, 64, 64)
# torchvision's name, and the shape of the input in PyTorch's layout.
NETWORKS = {
    "resnet50": IMAGE,
    "resnet101": IMAGE,
    "resnet152": IMAGE,
    "wide_resnet50_2": IMAGE,
    "resnext50_32x4d": IMAGE,
    # Large enough to fill the 7x7 cells before the fully connected layers.
    "vgg13": (1, 3, 224, 224),
    "vgg16": IMAGE,
    "vgg19": IMAGE,
    "vgg13_bn": IMAGE,
    "vgg16_bn": IMAGE,
    "vgg19_bn": IMAGE,
    "squeezenet1_0": IMAGE,
    "mobilenet_v2": IMAGE,
    "inception_v3": (1, 3, 96, 96),
    "densenet121": IMAGE,
    "r3d_18": CLIP,
    "r2plus1d_18": CLIP,
}
# An auxiliary head: its network, its name there, and the shape of the map it gets.
HEADS = {
    "googlenet_aux1": ("googlenet", "aux1", (1, 512, 14, 14)),
    "googlenet_aux2": ("googlenet", "aux2", (1, 528, 14, 14)),
    "inception_v3_aux": ("inception_v3", "AuxLogits", (1, 768, 17, 17)),
}


# A network with trained weights, which are not a part of the project.
TRAINED = {"squeezenet1_0_imagenet": ("squeezenet1_0", IMAGE)}
WEIGHTS = FOLDER.parents[2] / "../shared/data/weights"
# A detector: the shape of its input, of which no stride divides the height.
DETECTORS = {"fcos_resnet50_fpn": (1, 3, 42, 72)}
# For segmentation, with an auxiliary head: the shape of the input, no multiple of the
# output stride, but large enough for the dilations of the head; every `EACH`-th pixel
# is kept.
PIXELS = {"fcn_resnet50": (1, 3, 97, 85), "deeplabv3_resnet50": (1, 3, 307, 221)}
EACH = {"fcn_resnet50": 5, "deeplabv3_resnet50": 11}


def fill(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The values of an entry of the state dict, from its name and shape alone."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    kind = name.rpartition(".")[2]
    if kind == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if kind == "running_var":
        values = random.uniform(0.5, 1.5, shape)
    elif len(shape) > 1:
        values = random.standard_normal(shape) * np.sqrt(2.0 / np.prod(shape[1:]))
    elif kind == "weight":
        values = random.uniform(0.5, 1.0, shape)
    else:
        values = 0.1 * random.standard_normal(shape)
    return values.astype(np.float32)


def inputs(shape: tuple[int, ...]) -> np.ndarray:
    """A batch of standard normal values."""
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def network(name: str, weights: Path | None = None):
    """The network, in evaluation mode, with the values of `fill` or of a file."""
    import safetensors.torch
    import torchvision

    options = {}
    if name in ("googlenet", "inception_v3"):
        options = {"aux_logits": True, "init_weights": False}
    model = getattr(torchvision.models, name, None)
    model = (model or getattr(torchvision.models.video, name))(weights=None, **options)
    if weights is not None:
        model.load_state_dict(safetensors.torch.load_file(weights))
        return model.eval()
    fill_all(model)
    return model.eval()


def fill_all(model) -> None:
    """Gives the network the values of `fill`."""
    import torch

    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    model.load_state_dict(
        {key: torch.from_numpy(fill(key, shape)) for key, shape in shapes.items()}
    )


def detector(name: str):
    """The detector, likewise, and what makes its heads' outputs of images."""
    from torchvision.models import detection

    model = getattr(detection, name)(weights=None, weights_backbone=None)
    fill_all(model)

    def outputs(images):
        return model.head(list(model.backbone(images).values()))

    return model.eval(), outputs


def segmentation(name: str):
    """The network, likewise, and what makes the logits of both heads of images."""
    from torchvision.models import segmentation

    model = getattr(segmentation, name)(
        weights=None, weights_backbone=None, num_classes=21, aux_loss=True
    )
    fill_all(model)

    def outputs(images):
        kept = slice(None, None, EACH[name])
        maps = {key: value[..., kept, kept] for key, value in model(images).items()}
        return {"output": maps["out"], "auxiliary": maps["aux"]}

    return model.eval(), outputs


def save(name: str, model, module, input_shape: tuple[int, ...]) -> None:
    """Writes the output of `module`, a part of `model`, and the entries of `model`."""
    import torch

    with torch.no_grad():
        output = module(torch.from_numpy(inputs(input_shape)))
    outputs = output if isinstance(output, dict) else {"output": output}
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    np.savez_compressed(
        FOLDER / f"{name}.npz",
        **{key: value.numpy() for key, value in outputs.items()},
        input_shape=np.array(input_shape),
        names=np.array(list(shapes)),
        shapes=np.array([json.dumps(shape) for shape in shapes.values()]),
    )
    for key, value in outputs.items():
        print(
            f"{name}: {key} {tuple(value.shape)}, largest value {value.abs().max():.3g}"
        )


def main(names: list[str]) -> None:
    for name in names or [*NETWORKS, *HEADS, *TRAINED, *DETECTORS, *PIXELS]:
        if name in NETWORKS:
            model = network(name)
            save(name, model, model, NETWORKS[name])
        elif name in HEADS:
            whole, head, input_shape = HEADS[name]
            model = network(whole)
            save(name, model, getattr(model, head), input_shape)
        elif name in DETECTORS:
            save(name, *detector(name), DETECTORS[name])
        elif name in PIXELS:
            save(name, *segmentation(name), PIXELS[name])
        else:
            kind, input_shape = TRAINED[name]
            model = network(kind, WEIGHTS / f"{name}.safetensors")
            save(name, model, model, input_shape)


if __name__ == "__main__":
    main(sys.argv[1:])
