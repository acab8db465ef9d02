"""Recipes: for each data set, a config with data, augmentation and length of a run.

Each function returns a complete config. A config file in `configs` starts from one of
these configs. The file then sets the model, and the values that differ in the model's
paper.
"""

from ml_collections import ConfigDict

from cnn_jax.training.config import choose, default


def digits(epochs: int = 30) -> ConfigDict:
    """Returns the config for 8x8 handwritten digits.

    A run takes about a minute, and needs no download.
    """
    config = default()
    config.data.val = 0.1
    config.data.batch_size = 64
    config.data.augmentations = ("crop(padding=1)",)
    config.schedule.warmup_epochs = 2
    config.train.epochs = epochs
    config.eval.every_epochs = 5
    return config


def digit_scenes(epochs: int = 8) -> ConfigDict:
    """Returns the config for the segmentation of 48x48 scenes of digits.

    A run takes one to three minutes.
    """
    config = default()
    config.data.name = "digit_scenes"
    config.data.val = 0.1
    config.data.batch_size = 32
    config.data.augmentations = ("crop(padding=4)",)
    config.task.name = "segmentation"
    config.optimizer = {"name": "adamw", "learning_rate": 4e-3}
    config.schedule.warmup_epochs = 1
    config.train.epochs = epochs
    config.eval.every_epochs = 2
    return config


CAMVID = (
    *("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence"),
    *("car", "pedestrian", "cyclist"),
)


def camvid(epochs: int = 20) -> ConfigDict:
    """Returns the config for road scenes of CamVid at 64x48 pixels, for experiments.

    The folder `data.dir` has the folders `train`, `val` and `test` with scenes, and
    `trainannot`, `valannot` and `testannot` with masks, as in SegNet's copy of CamVid.
    """
    config = default()
    config.data = {"name": "masks", "classes": CAMVID, "ignored": (len(CAMVID),)}
    config.data.val = "val"
    config.data.image_size = (48, 64)
    config.data.batch_size = 16
    config.data.augmentations = ("crop(padding=4)", "flip")
    config.task.name = "segmentation"
    config.optimizer = {"name": "adamw", "learning_rate": 0.01}
    config.schedule.warmup_epochs = 1
    config.train.epochs = epochs
    config.eval.every_epochs = 4
    return config


def moving_digits(epochs: int = 6) -> ConfigDict:
    """Returns the config for classifying the motion of a digit in clips of 8 frames.

    A run takes about a minute.
    """
    config = default()
    config.data.name = "moving_digits"
    config.data.val = 0.1
    config.data.batch_size = 32
    config.schedule.warmup_epochs = 1
    config.train.epochs = epochs
    config.eval.every_epochs = 2
    return config


def few_digits(steps: int = 400) -> ConfigDict:
    """Returns the config for 256 training digits at 16x16 pixels, for experiments.

    The network makes errors after training on so few images. Therefore the accuracies
    of different settings in an experiment can differ.
    """
    config = digits()
    config.data.image_size = 16
    config.data.train_examples = 256
    config.data.augmentations = ("crop(padding=2)",)
    config.model = {"name": "plain", "widths": (16, 32)}
    config.optimizer.weight_decay = 5e-4
    config.schedule = {"name": "cosine", "warmup_steps": 20}
    config.train = {"steps": steps}
    config.eval = {"every_steps": steps // 8}
    return config


def some_digits(classes: tuple[int, ...]) -> ConfigDict:
    """Returns the config for some of the ten digits and a small SqueezeNet 1.0.

    The images have 16x16 pixels. A run on other digits can start from the layers that a
    run with this config has trained.

    Args:
      classes: the digits that the network learns to classify.
    """
    config = digits()
    config.data.image_size = 16
    config.data.classes = classes
    config.model = {"name": "squeezenet1_0", "stem": "small", "width_multiplier": 0.25}
    config.model.head = "gap"  # its own head ends in a ReLU, which can silence classes
    config.optimizer = {"name": "adamw", "learning_rate": 2e-3}
    return config


def restoration(data: str, epochs: int = 20) -> ConfigDict:
    """Returns the config for the restoration of digits.

    A run takes under a minute.

    Args:
      data: "super_resolution" or "denoising".
      epochs: the length of the run in epochs.
    """
    config = default()
    config.data = {"name": data, "batch_size": 32, "val": 0.1}
    config.task = {"name": "enhancement"}
    config.optimizer = {"name": "adamw", "learning_rate": 2e-3, "weight_decay": 0.0}
    config.schedule = {"name": "cosine", "warmup_steps": 50}
    config.train.epochs = epochs
    config.eval.every_epochs = 5
    return config


def mnist(epochs: int = 10) -> ConfigDict:
    """Returns the config for MNIST: 28x28 digits, shifted at random."""
    config = default()
    config.data.name = "tfds:mnist"
    config.data.val = 5000
    config.data.augmentations = ("crop(padding=2)",)
    config.train.epochs = epochs
    config.eval.every_epochs = 1
    return config


def cifar10(epochs: float | int = 100) -> ConfigDict:
    """Returns the config for CIFAR-10: 32x32 photos, shifted and mirrored at random.

    The augmentation is that of He et al. 2016, section 4.2.
    """
    config = default()
    config.data.name = "tfds:cifar10"
    config.data.val = 5000  # as in He et al. 2016, section 4.2
    config.data.augmentations = ("crop(padding=4)", "flip")
    config.schedule.warmup_epochs = 2
    config.train.epochs = epochs
    config.train.log_every_steps = 100
    config.eval.every_epochs = 1
    return config


def short_cifar10(epochs: float | int = 10) -> ConfigDict:
    """Returns the config for short CIFAR-10 experiments with a plain network."""
    config = cifar10(epochs)
    config.model = {"name": "plain", "widths": (32, 64, 128)}
    config.optimizer.weight_decay = 5e-4
    config.schedule.warmup_epochs = 0.5
    return config


def few_cifar10() -> ConfigDict:
    """Returns the config for 5,000 photos of CIFAR-10 at 16x16 pixels, for experiments.

    Validation uses 1,000 photos, and testing 5,000. `train_split` and `test_split`
    select the first photos of the set, whose order is random. Others are not read.
    """
    config = cifar10(epochs=10)
    config.data.train_split = "train[:6000]"
    config.data.test_split = "test[:5000]"
    config.data.val = 1000
    config.data.image_size = 16
    config.data.batch_size = 64
    config.data.augmentations = ("crop(padding=2)", "flip")
    config.model = {"name": "plain", "widths": (16, 32, 64)}
    config.optimizer.weight_decay = 5e-4
    config.schedule.warmup_epochs = 1
    config.eval.every_epochs = 2
    return config


def few_mnist() -> ConfigDict:
    """Returns the config for 1,000 digits of MNIST, for experiments.

    Validation uses 500 digits, and testing 5,000; see `few_cifar10`.
    """
    config = mnist(epochs=20)
    config.data.train_split = "train[:1500]"
    config.data.test_split = "test[:5000]"
    config.data.val = 500
    config.data.batch_size = 64
    config.model = {"name": "plain", "widths": (16, 32)}
    config.optimizer.weight_decay = 5e-4
    config.schedule.warmup_epochs = 1
    config.eval.every_epochs = 4
    return config


def few_photos() -> ConfigDict:
    """Returns the config for the user's photos at 32x32 pixels, for experiments.

    The folder `data.dir` has one folder for each class. A tenth of the training photos
    is for validation. The length of 20 epochs is meant for 1,000 to 5,000 photos.
    """
    config = default()
    config.data = {"name": "folder", "image_size": 32, "batch_size": 64}
    config.data.val = 0.1
    config.data.augmentations = ("crop(padding=4)",)
    config.model = {"name": "plain", "widths": (16, 32, 64)}
    config.optimizer.weight_decay = 5e-4
    config.schedule.warmup_epochs = 1
    config.train.epochs = 20
    config.eval.every_epochs = 4
    return config


def experiment(argument: str | None) -> ConfigDict:
    """Returns the base config of experiments.

    Args:
      argument: "digits" (default), "cifar10", or one of the smaller data sets
        "few_cifar10", "few_mnist" and "folder" (the user's photos).
    """
    return choose(
        {
            "digits": few_digits,
            "cifar10": short_cifar10,
            "few_cifar10": few_cifar10,
            "few_mnist": few_mnist,
            "folder": few_photos,
        },
        argument,
    )


def imagenet(batch_size: int = 256, epochs: int = 90) -> ConfigDict:
    """Returns the config for ImageNet with random crops of 224x224 pixels.

    The optimizer is gradient descent with momentum. The learning rate is 0.1 for each
    256 images of a batch, with warm-up and cosine decay (Goyal et al. 2017; He et al.
    2019).
    """
    config = default()
    config.data.name = "tfds:imagenet2012"
    config.data.test_split = "validation"
    config.data.val = 0.01
    config.data.batch_size = batch_size
    config.data.image_size = 224
    config.data.random_crop = (0.08, 1.0)
    config.data.eval_crop = 0.875
    config.data.normalization = "imagenet"
    config.data.augmentations = ("flip",)
    config.data.workers = 16
    config.model.dtype = "bfloat16"
    config.task.top_k = (5,)
    config.optimizer.learning_rate = 0.1 * batch_size / 256
    config.optimizer.weight_decay = 1e-4
    config.optimizer.nesterov = True
    config.schedule.warmup_epochs = 5
    config.train.epochs = epochs
    config.train.log_every_steps = 100
    config.eval.every_epochs = 1
    config.checkpoint.every_steps = 1000
    return config
