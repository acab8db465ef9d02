"""What configs have in common: data, augmentation and length of a run, by data set.

Each function returns a config that lacks nothing; a config file sets the model and
whatever else its paper did otherwise.
"""

from ml_collections import ConfigDict

from cnn_jax.training.config import default


def digits(epochs: int = 30) -> ConfigDict:
    """8x8 scans of handwritten digits: runs of about a minute, without a download."""
    config = default()
    config.data.batch_size = 64
    config.data.crop_padding = 1
    config.schedule.warmup_epochs = 2
    config.train.epochs = epochs
    config.eval.every_epochs = 5
    return config


def mnist(epochs: int = 10) -> ConfigDict:
    config = default()
    config.data.name = "tfds:mnist"
    config.data.crop_padding = 2
    config.train.epochs = epochs
    config.eval.every_epochs = 1
    return config


def cifar10(epochs: int = 100) -> ConfigDict:
    """32x32 photos, shifted and mirrored (He et al. 2016, section 4.2)."""
    config = default()
    config.data.name = "tfds:cifar10"
    config.data.crop_padding = 4
    config.data.flip = True
    config.schedule.warmup_epochs = 2
    config.train.epochs = epochs
    config.train.log_every_steps = 100
    config.eval.every_epochs = 1
    return config


def imagenet(batch_size: int = 256, epochs: int = 90) -> ConfigDict:
    """Random crops of 224x224 pixels; momentum with a rate of 0.1 for each 256 images
    of a batch, warm-up and cosine (Goyal et al. 2017; He et al. 2019)."""
    config = default()
    config.data.name = "tfds:imagenet2012"
    config.data.test_split = "validation"
    config.data.batch_size = batch_size
    config.data.image_size = 224
    config.data.flip = True
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
