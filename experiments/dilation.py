"""Which dilation rates help a network to label pixels, and what are the alternatives?

The lecture: dilated convolutions expand the receptive field exponentially without loss
of resolution, with the parameters, computation and memory of ordinary convolutions.
Pooling and strides reduce the resolution. Dilation is useful where a network needs a
wide receptive field and cannot afford several convolutions or larger kernels.

    python -m cnn_jax.sweep --config=experiments/dilation.py
    python -m cnn_jax.sweep --config=experiments/dilation.py:classification
    python -m cnn_jax.sweep --config=experiments/dilation.py:cifar10
    python -m cnn_jax.sweep --config=experiments/dilation.py:few_cifar10
    python -m cnn_jax.sweep --config=experiments/dilation.py:camvid \\
        --config.data.dir=DIR

By default the task is segmentation of scenes of digits, and arms are compared by the
mean IoU. `:camvid` segments road scenes at 64x48 pixels: 367 training scenes, 20
epochs. The docs page "Segmentation" describes the folder DIR. `:few_cifar10` classifies
photos at 16x16 pixels: 5,000 training photos, ten epochs.
"""

from cnn_jax.sweeps.arms import Arm
from cnn_jax.training import recipes
from cnn_jax.training.config import choose

LAYERS = 4


def segmentation():
    config = recipes.digit_scenes()
    config.data.image_size = 32
    config.data.train_examples = 1000
    config.data.test_examples = 200
    config.data.batch_size = 16
    config.data.augmentations = ("crop(padding=2)",)
    config.model = {"name": "plain", "head": "fcn"}
    config.optimizer.learning_rate = 0.01
    config.schedule = {"name": "cosine", "warmup_steps": 20}
    config.train = {"steps": 600}
    config.eval = {"every_steps": 75}
    return config


def camvid():
    config = recipes.camvid()
    config.model = {"name": "plain", "head": "fcn"}
    return config


def width(arg):
    return 32 if arg in (None, "segmentation") else 16


def get_config(arg=None):
    config = choose(
        {
            "segmentation": segmentation,
            "classification": recipes.few_digits,
            "cifar10": recipes.short_cifar10,
            "camvid": camvid,
            "few_cifar10": recipes.few_cifar10,
        },
        arg,
    )
    config.model.widths = (width(arg),) * LAYERS
    config.model.depth = 1
    config.model.subsample = "none"
    return config


def sweep(arg=None):
    # Pooling networks get wider from stage to stage.
    growing = tuple(width(arg) * stage for stage in range(1, LAYERS + 1))
    yield "rate 1", {}
    yield "rate 2", {"model.dilations": (2,)}
    yield "rate 4", {"model.dilations": (4,)}
    yield "rates 1, 2, 4, 8", {"model.dilations": (1, 2, 4, 8)}
    # Arms with as many parameters, and arms with as many operations.
    yield "max pooling", {"model.subsample": "max"}
    yield "strides", {"model.subsample": "strided"}
    yield Arm(
        "max pooling, as many operations",
        {"model.subsample": "max", "model.widths": growing},
        iso="macs",
    )
    yield "5x5 kernels", {"model.kernel_size": 5}
    yield Arm(
        "5x5 kernels, as many parameters", {"model.kernel_size": 5}, iso="parameters"
    )
