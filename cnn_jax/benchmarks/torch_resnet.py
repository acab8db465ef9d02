"""Residual networks in PyTorch, with torchvision's names of the layers."""

from collections.abc import Callable
from typing import Any

from cnn_jax import layers
from cnn_jax.benchmarks import peers
from cnn_jax.models import resnet


def build(torch: Any, model: resnet.ResNet, channels: int) -> Any:
    """Returns a residual network in PyTorch, with the same attributes as our network.

    Args:
      torch: the module `torch`.
      model: our network.
      channels: the number of channels of the images.

    Raises:
      NoPeer: if our network has an attribute that PyTorch's lacks.
    """
    peers.check_residual(model, "torch")
    small, width = model.stem == "small", model.width
    modules = {
        "conv1": torch.nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        if small
        else torch.nn.Conv2d(channels, width, 7, 2, 3, bias=False),
        "bn1": torch.nn.BatchNorm2d(width),
        "relu": torch.nn.ReLU(inplace=True),
    }
    if not small:
        modules["maxpool"] = torch.nn.MaxPool2d(3, 2, 1)
    block, expansion = _block(torch, model)
    features = width
    for stage, size in enumerate(model.stage_sizes):
        blocks = []
        for i in range(size):
            strides = 2 if stage and not i else 1
            blocks.append(block(features, width * 2**stage, strides))
            features = width * 2**stage * expansion
        modules[f"layer{stage + 1}"] = torch.nn.Sequential(*blocks)
    modules["pool"] = torch.nn.AdaptiveAvgPool2d(1)
    modules["flatten"] = torch.nn.Flatten()
    if model.dropout:
        modules["dropout"] = torch.nn.Dropout(model.dropout)
    modules["fc"] = torch.nn.Linear(features, model.num_classes)
    network = torch.nn.Sequential()
    for name, module in modules.items():
        network.add_module(name, module)
    return network


def _block(
    torch: Any, model: resnet.ResNet
) -> tuple[Callable[[int, int, int], Any], int]:
    """Returns a function `block(channels, features, strides)` and its expansion factor.

    The input of a block has `channels` channels. Its output has
    `expansion * features` channels.
    """
    block = layers.Bottleneck if model.block == "bottleneck" else layers.BasicBlock
    expansion = block.expansion
    conv = torch.nn.Conv2d

    def basic(channels: int, features: int, strides: int) -> list[Any]:
        return [
            conv(channels, features, 3, strides, 1, bias=False),
            conv(features, features, 3, 1, 1, bias=False),
        ]

    def bottleneck(channels: int, features: int, strides: int) -> list[Any]:
        inner = features * model.width_per_group // 64 * model.groups
        return [
            conv(channels, inner, 1, bias=False),
            conv(inner, inner, 3, strides, 1, groups=model.groups, bias=False),
            conv(inner, features * expansion, 1, bias=False),
        ]

    convolutions = {"basic": basic, "bottleneck": bottleneck}[model.block]

    class Block(torch.nn.Module):
        """A residual block with torchvision's layer names."""

        def __init__(self, channels: int, features: int, strides: int):
            super().__init__()
            made = convolutions(channels, features, strides)
            for i, layer in enumerate(made, start=1):
                self.add_module(f"conv{i}", layer)
                self.add_module(f"bn{i}", torch.nn.BatchNorm2d(layer.out_channels))
            self.layers = len(made)
            self.strides, self.new = strides, features * expansion - channels
            self.downsample = None
            if model.shortcut == "projection" and (strides, self.new) != (1, 0):
                self.downsample = torch.nn.Sequential(
                    conv(channels, features * expansion, 1, strides, bias=False),
                    torch.nn.BatchNorm2d(features * expansion),
                )

        def forward(self, x: Any) -> Any:
            y = x
            for i in range(1, self.layers + 1):
                y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
                if i < self.layers:
                    y = torch.relu_(y)
            if model.shortcut == "zero":
                return torch.relu_(y)
            if self.downsample is not None:
                x = self.downsample(x)
            elif (self.strides, self.new) != (1, 0):
                x = x[:, :, :: self.strides, :: self.strides]
                x = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, self.new))
            return torch.relu_(y + x)

    return Block, expansion
