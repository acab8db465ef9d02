"""Our networks in PyTorch, to be timed in turns with ours. PyTorch is optional.

`torch_resnet` builds residual networks with torchvision's layer names, so that
`convert` can translate the weights. Other networks come from torchvision, if it is
installed. A PyTorch network starts with our weights. If its outputs differ from our
network's outputs, an error is raised.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from cnn_jax.benchmarks import peers, timing, torch_resnet
from cnn_jax.benchmarks.peers import NoPeer
from cnn_jax.benchmarks.subject import Subject
from cnn_jax.models import resnet
from cnn_jax.training import machine
from cnn_jax.weights import torch_names, torch_weights

INSTALL = (
    "--peer=torch needs PyTorch, which is not installed: python -m pip install torch "
    "(https://pytorch.org/get-started has builds for each device)."
)
# The largest difference between logits, as a share of the largest logit.
TOLERANCE = {"cpu": 1e-3, "cuda": 2e-2}
AUXILIARY_WEIGHT = 0.3


def module() -> Any:
    """Returns the module `torch`. Raises NoPeer if it is not installed."""
    try:
        import torch
    except ImportError as error:
        raise NoPeer(INSTALL) from error
    return torch


def vision(purpose: str) -> Any:
    """Returns the module `torchvision`. Raises NoPeer if it or PyTorch is missing.

    `purpose` says in the error what torchvision is needed for.
    """
    module()
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:  # RuntimeError: another PyTorch
        raise NoPeer(
            f"--peer=torch needs torchvision for {purpose}: python -m pip install "
            "torchvision, or leave out --peer."
        ) from error
    return torchvision


def library() -> Any:
    """Returns the module `torch`, set to use one thread per processor.

    Raises:
      NoPeer: if PyTorch is not installed, or is not built for the device that JAX uses.
    """
    torch = module()
    backend = jax.default_backend()
    if backend not in ("cpu", "gpu"):
        raise NoPeer(
            f"--peer=torch compares on a CPU or a GPU, not on a {backend}: leave out "
            "--peer."
        )
    if backend == "gpu" and not torch.cuda.is_available():
        raise NoPeer(
            "--peer=torch: PyTorch finds no GPU, but JAX uses a GPU. Install a PyTorch "
            "build for this GPU (https://pytorch.org/get-started)."
        )
    peers.check_one_device("torch")
    torch.set_num_threads(machine.cores())
    return torch


class Peer:
    """A network in PyTorch with our weights, and its steps.

    Channels are last in memory, as in our networks. If our `dtype` is not float32, the
    steps run under autocast. On a GPU the network is compiled. The optimizer is the one
    in the config, but without schedule, gradient clipping and moving averages. Unlike
    ours, PyTorch's optimizer applies weight decay to biases and normalization too.

    Attributes:
      network: the `torch.nn.Module`, not compiled.

    Raises:
      NoPeer: if PyTorch is not installed, or does not have the network.
      ValueError: if the peer's outputs differ from our network's outputs.
    """

    def __init__(self, subject: Subject, variables: Mapping[str, Any]):
        """
        Args:
          subject: our network, which the peer copies.
          variables: our network's parameters and batch statistics.
        """
        self._torch = torch = library()
        self._device = "cuda" if jax.default_backend() == "gpu" else "cpu"
        self._autocast = (
            contextlib.nullcontext
            if subject.dtype == "float32"
            else lambda: torch.autocast(self._device, getattr(torch, subject.dtype))
        )
        self._optimizer = subject.config.optimizer
        name, shape = subject.config.model.name, subject.network.image_shape
        self.network = build(name, subject.network.model, variables, shape)
        self._memory_format = (
            torch.channels_last if len(shape) == 3 else torch.channels_last_3d
        )
        self.network.to(self._device, memory_format=self._memory_format)
        self.check(subject.network.model, variables, shape)
        self._compiled = self.network
        if self._device == "cuda":
            self._compiled = torch.compile(self.network)

    def images(self, images: np.ndarray) -> Any:
        """Returns images (batch, height, width, channels) as a PyTorch tensor."""
        tensor = self._torch.from_numpy(np.moveaxis(images, -1, 1).copy())
        return tensor.to(self._device, memory_format=self._memory_format)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Returns the float32 logits of normalized images in evaluation mode."""
        self.network.eval()
        with self._torch.inference_mode():
            return self.network(self.images(images)).float().cpu().numpy()

    def check(
        self,
        model: nn.Module,
        variables: Mapping[str, Any],
        input_shape: tuple[int, ...],
    ) -> None:
        """Raises ValueError if the peer differs from our network.

        The number of parameters and the outputs on random images are compared.

        Args:
          model: our network.
          variables: our network's parameters and batch statistics.
          input_shape: the shape of one image.
        """
        ours = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
        theirs = sum(p.numel() for p in self.network.parameters())
        if ours != theirs:
            raise ValueError(f"the peer has {theirs:,} parameters and not {ours:,}")
        rng = np.random.default_rng(0)
        images = rng.standard_normal((2, *input_shape)).astype(np.float32)
        exact = jax.jit(lambda v, x: model.clone(dtype=None).apply(v, x, train=False))
        with jax.default_matmul_precision("highest"):
            expected = np.asarray(exact(variables, images))
        peers.check_outputs(self.logits(images), expected, TOLERANCE[self._device])

    def train(self, images: np.ndarray, labels: np.ndarray) -> timing.Run:
        """Returns a function that executes training steps on one batch.

        Args:
          images: the normalized images.
          labels: their classes.

        Returns:
          A function that takes the number of steps to execute.
        """
        torch = self._torch
        x = self.images(images)
        y = torch.from_numpy(labels.astype(np.int64)).to(self._device)
        update = self._make_optimizer()
        cross_entropy = torch.nn.functional.cross_entropy

        def step() -> None:
            update.zero_grad(set_to_none=True)
            with self._autocast():
                outputs = self._compiled(x)
                logits, *auxiliary = (
                    [outputs] if torch.is_tensor(outputs) else list(outputs)
                )
                loss = cross_entropy(logits, y)
                for head in auxiliary:
                    if head is not None:
                        loss = loss + AUXILIARY_WEIGHT * cross_entropy(head, y)
            loss.backward()
            update.step()

        def run(steps: int) -> None:
            self.network.train()
            for _ in range(steps):
                step()
            self._wait()

        return run

    def infer(self, images: np.ndarray) -> timing.Run:
        """Returns a function that executes inference steps on one batch.

        Args:
          images: the normalized images.

        Returns:
          A function that takes the number of steps to execute.
        """
        x = self.images(images)

        def run(steps: int) -> None:
            self.network.eval()
            with self._torch.inference_mode(), self._autocast():
                for _ in range(steps):
                    self._compiled(x)
            self._wait()

        return run

    def _make_optimizer(self) -> Any:
        optim, config = self._torch.optim, self._optimizer
        options = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
        if config.name == "adamw":
            options |= {"betas": (config.b1, config.b2), "eps": config.eps}
            return optim.AdamW(self.network.parameters(), **options)
        if config.name != "sgd":
            raise NoPeer(
                "--peer=torch has only the optimizers sgd and adamw, not "
                f"{config.name}: set --config.optimizer.name to sgd or adamw, or leave "
                "out --peer."
            )
        options |= {
            "momentum": config.momentum,
            "nesterov": config.nesterov and config.momentum > 0,
        }
        return optim.SGD(self.network.parameters(), **options)

    def _wait(self) -> None:
        if self._device == "cuda":
            self._torch.cuda.synchronize()


def build(
    name: str,
    model: nn.Module,
    variables: Mapping[str, Any],
    input_shape: tuple[int, ...],
) -> Any:
    """Returns a float32 `torch.nn.Module` of our network, with our weights.

    Args:
      name: the network's name in `models.MODELS`.
      model: our network.
      variables: our network's parameters and batch statistics.
      input_shape: the shape of one image.

    Raises:
      NoPeer: if PyTorch does not have the network.
    """
    torch = library()
    if type(model) is resnet.ResNet:
        # All residual networks use torchvision's parameter names.
        names = resnet.NAMES
        network = torch_resnet.build(torch, model, input_shape[-1])
    elif name in torch_names.FAMILIES:
        names = torch_names.family(name)
        network = _torchvision(torch, name, model)
    else:
        raise NoPeer(
            f"--peer=torch has no network {name}: leave out --peer. Known: the "
            "residual networks and, if torchvision is installed, "
            f"{', '.join(sorted(set(torch_names.FAMILIES) - _residual()))}."
        )
    entries = torch_weights.entries_with(names, name, model, input_shape)
    state = torch_weights.state_of(entries, variables)
    try:
        # Copies are needed, because JAX's arrays are not writable.
        network.load_state_dict(
            {key: torch.tensor(np.array(value)) for key, value in state.items()}
        )
    except RuntimeError as error:
        raise NoPeer(
            f"--peer=torch: torchvision's {name} differs from this network for inputs "
            f"of shape {input_shape}: leave out --peer. PyTorch reports: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    return network


def _residual() -> set[str]:
    """Returns the names of the residual networks."""
    families = torch_names.FAMILIES
    return {name for name, names in families.items() if names is resnet.NAMES}


def _torchvision(torch: Any, name: str, model: Any) -> Any:
    """Returns torchvision's network with our number of classes and dropout rate."""
    torchvision = vision(f"{name} (residual networks do not need torchvision)")
    options = {}
    names = torch_names.family(name)
    if names.auxiliary:
        options = {"aux_logits": model.auxiliary, "transform_input": False}
        options["init_weights"] = False
    network = torchvision.models.get_model(
        names.model or name,
        weights=None,
        num_classes=model.num_classes,
        **options,
    )
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = model.dropout
    return network
