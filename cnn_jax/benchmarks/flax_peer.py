"""Residual networks as in flax's ImageNet example, to be timed in turns with ours.

The layers are linen's `nn.Conv` and `nn.BatchNorm`. The training step is copied from
https://github.com/google/flax/tree/main/examples/imagenet: cross entropy of one-hot
labels, weight decay as a part of the loss, optax's momentum, accuracy, and one
`jax.jit` that donates the old state. Two details differ from the example. Parameters
have the names of our parameters, so that our weights can be loaded. Strided
convolutions are padded as in our networks instead of "SAME", so that equal weights give
equal outputs.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnn_jax.benchmarks import peers, timing
from cnn_jax.benchmarks.peers import NoPeer
from cnn_jax.benchmarks.subject import Subject
from cnn_jax.models import resnet

# The largest difference between logits, as a share of the largest logit.
TOLERANCE = 2e-2


class Block(nn.Module):
    """A residual block.

    Attributes:
      layers: (kernel size, features, strides, groups) of each convolution.
      conv: the class of convolutions, with options.
      norm: the class of normalizations, with options.
      shortcut: "projection", "identity" or "zero", as in `models.resnet`.
    """

    layers: tuple[tuple[int, int, int, int], ...]
    conv: Any
    norm: Any
    shortcut: str

    @nn.compact
    def __call__(self, x):
        y = x
        for i, (size, features, strides, groups) in enumerate(self.layers, start=1):
            y = self.conv(
                features,
                (size, size),
                (strides, strides),
                padding=size // 2,
                feature_group_count=groups,
                name=f"conv{i}",
            )(y)
            y = self.norm(name=f"norm{i}")(y)
            if i < len(self.layers):
                y = nn.relu(y)
        if self.shortcut == "zero":
            return nn.relu(y)
        strides = max(strides for _, _, strides, _ in self.layers)
        if self.shortcut == "projection" and (strides > 1 or x.shape != y.shape):
            x = self.conv(
                y.shape[-1], (1, 1), (strides, strides), name="shortcut_conv"
            )(x)
            x = self.norm(name="shortcut_norm")(x)
        elif strides > 1 or x.shape != y.shape:
            x = x[:, ::strides, ::strides]
            x = jnp.pad(x, [(0, 0)] * 3 + [(0, y.shape[-1] - x.shape[-1])])
        return nn.relu(x + y)


class ResNet(nn.Module):
    """A copy in plain linen of our residual network `model`."""

    model: resnet.ResNet

    @nn.compact
    def __call__(self, x, train):
        model = self.model
        conv = partial(nn.Conv, use_bias=False, dtype=model.dtype)
        norm = partial(
            nn.BatchNorm,
            use_running_average=not train,
            momentum=0.9,
            epsilon=1e-5,
            dtype=model.dtype,
        )
        x = Stem(model.stem, model.width, conv, norm, name="stem")(x)
        for stage, size in enumerate(model.stage_sizes):
            for i in range(size):
                x = Block(
                    _layers(model, stage, 2 if stage and not i else 1),
                    conv,
                    norm,
                    model.shortcut,
                    name=f"stage{stage + 1}_block{i + 1}",
                )(x)
        x = jnp.mean(x, axis=(1, 2))
        x = nn.Dropout(model.dropout, deterministic=not train)(x)
        return nn.Dense(model.num_classes, name="head")(x.astype(jnp.float32))


class Stem(nn.Module):
    """The layers before the first stage of residual blocks.

    Attributes:
      kind: "imagenet" or "small", as in `models.resnet`.
      features: the number of output channels.
      conv: the class of convolutions, with options.
      norm: the class of normalizations, with options.
    """

    kind: str
    features: int
    conv: Any
    norm: Any

    @nn.compact
    def __call__(self, x):
        size, strides = (3, 1) if self.kind == "small" else (7, 2)
        x = self.conv(
            self.features,
            (size, size),
            (strides, strides),
            padding=size // 2,
            name="conv",
        )(x)
        x = nn.relu(self.norm(name="norm")(x))
        if self.kind == "small":
            return x
        return nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))


def _layers(model: resnet.ResNet, stage: int, strides: int) -> tuple:
    """Returns the attribute `layers` of a `Block`.

    Args:
      model: our residual network.
      stage: the index of the block's stage, from 0.
      strides: the strides of the block.
    """
    features = model.width * 2**stage
    if model.block == "basic":
        return (3, features, strides, 1), (3, features, 1, 1)
    inner = features * model.width_per_group // 64 * model.groups
    return (
        (1, inner, 1, 1),
        (3, inner, strides, model.groups),
        (1, 4 * features, 1, 1),
    )


class Peer:
    """A residual network in plain linen with our weights, and its steps on one device.

    Raises:
      NoPeer: if our network is not residual, or has an attribute that the peer lacks.
      ValueError: if the peer's outputs differ from our network's outputs.
    """

    def __init__(self, subject: Subject, variables: Mapping[str, Any]):
        """
        Args:
          subject: our network, which the peer copies.
          variables: our network's parameters and batch statistics.
        """
        model = subject.network.model
        if type(model) is not resnet.ResNet:
            raise NoPeer(
                "--peer=flax_example has only residual networks, not "
                f"{subject.config.model.name}: use --peer=torch, or leave out --peer."
            )
        peers.check_residual(model, "flax_example")
        peers.check_one_device("flax_example")
        self._optimizer = subject.config.optimizer
        if self._optimizer.name != "sgd":
            raise NoPeer(
                "--peer=flax_example has only the optimizer sgd, not "
                f"{self._optimizer.name}: set --config.optimizer.name=sgd, or leave "
                "out --peer."
            )
        self._variables = variables
        self.network = ResNet(model.clone(parent=None))
        shape = subject.network.image_shape
        rng = np.random.default_rng(0)
        images = rng.standard_normal((2, *shape)).astype(np.float32)
        expected = jax.jit(partial(model.apply, train=False))(variables, images)
        peers.check_outputs(self.logits(images), expected, TOLERANCE)

    def logits(self, images: np.ndarray) -> jax.Array:
        """Returns the logits of normalized images in evaluation mode."""
        return jax.jit(partial(self.network.apply, train=False))(
            self._variables, images
        )

    def train(self, images: np.ndarray, labels: np.ndarray) -> timing.Run:
        """Returns a function that executes training steps on one batch.

        Args:
          images: the normalized images.
          labels: their classes.

        Returns:
          A function of the number of steps.
        """
        config, network = self._optimizer, self.network
        optimizer = optax.sgd(
            config.learning_rate, config.momentum or None, config.nesterov
        )
        classes = network.model.num_classes

        def loss_of(params, statistics, images, labels, key):
            logits, updated = network.apply(
                {"params": params, "batch_stats": statistics},
                images,
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": key},
            )
            one_hot = jax.nn.one_hot(labels, classes)
            loss = jnp.mean(optax.softmax_cross_entropy(logits, one_hot))
            kernels = [p for p in jax.tree.leaves(params) if p.ndim > 1]
            decay = 0.5 * sum(jnp.sum(kernel**2) for kernel in kernels)
            loss = loss + config.weight_decay * decay
            return loss, (logits, updated["batch_stats"])

        @partial(jax.jit, donate_argnums=0)
        def step(state, images, labels):
            params, statistics, momentum, key = state
            key, dropout = jax.random.split(key)
            (loss, (logits, statistics)), grads = jax.value_and_grad(
                loss_of, has_aux=True
            )(params, statistics, images, labels, dropout)
            updates, momentum = optimizer.update(grads, momentum, params)
            params = optax.apply_updates(params, updates)
            accuracy = jnp.mean(jnp.argmax(logits, -1) == labels)
            return (params, statistics, momentum, key), (loss, accuracy)

        # The step donates its arguments, so it gets copies.
        variables = jax.tree.map(jnp.array, dict(self._variables))
        params, statistics = variables["params"], variables["batch_stats"]
        held = [(params, statistics, optimizer.init(params), jax.random.key(0))]
        images, labels = jax.device_put((images, labels))

        def run(steps: int) -> None:
            for _ in range(steps):
                held[0], metrics = step(held[0], images, labels)
            jax.block_until_ready((held[0][0], metrics))

        return run

    def infer(self, images: np.ndarray) -> timing.Run:
        """Returns a function that executes inference steps on one batch.

        Args:
          images: the normalized images.

        Returns:
          A function of the number of steps.
        """
        apply = jax.jit(partial(self.network.apply, train=False))
        variables, images = jax.device_put((self._variables, images))

        def run(steps: int) -> None:
            for _ in range(steps):
                logits = apply(variables, images)
            logits.block_until_ready()

        return run
