"""Transfer learning with a SqueezeNet 1.0 (Iandola et al. 2016): head or all layers.

    python -m cnn_jax.main --config=configs/transfer.py:source
    python -m cnn_jax.main --config=configs/transfer.py

The first command learns the digits 0 to 4. The second command learns the digits 5 to 9
from two examples of each, with a new head on the features of the first network.

    python -m cnn_jax.main --config=configs/transfer.py:folder --config.data.dir=DIR \\
        --config.model.init_from=FILE

This command learns a new head for your pictures. The other layers have torchvision's
ImageNet weights from FILE, a .safetensors or .pth file. With `:finetune` in place of
`:folder`, all layers are trained.
"""

from cnn_jax.training import recipes
from cnn_jax.training.config import choose


def digits():
    config = recipes.some_digits((5, 6, 7, 8, 9))
    config.data.train_examples = 10
    config.data.batch_size = 10
    config.data.augmentations = ()
    config.model.init_from = "runs/transfer-source"
    config.optimizer.learning_rate = 0.02
    config.optimizer.train_only = "head"
    config.train = {"steps": 200}
    config.eval = {"every_steps": 50}
    config.schedule = {"name": "cosine", "warmup_steps": 10}
    return config


def source():
    return recipes.some_digits((0, 1, 2, 3, 4))


def folder():
    """Images of 224x224 pixels without augmentation, so the frozen layers compute the
    features of each image only once."""
    config = recipes.digits(epochs=15)
    config.data = {"name": "folder", "image_size": 224, "batch_size": 64}
    config.model.name = "squeezenet1_0"
    config.model.init_from = "squeezenet1_0.safetensors"
    config.optimizer = {"name": "adamw", "learning_rate": 5e-3}
    config.optimizer.train_only = "head"
    config.schedule.warmup_epochs = 1
    config.eval = {"every_epochs": 5}
    return config


def finetune():
    """All layers, on smaller images with random shifts."""
    config = folder()
    config.data.image_size = 112
    config.data.batch_size = 32
    config.data.augmentations = ("crop(padding=8)",)
    config.optimizer = {"name": "adamw", "learning_rate": 5e-4}
    config.train.epochs = 8
    config.eval.every_epochs = 2
    return config


def get_config(arg=None):
    return choose(
        {"digits": digits, "source": source, "folder": folder, "finetune": finetune},
        arg,
    )
