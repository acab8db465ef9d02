"""Which layers of a pretrained network should be trained, for how much new data?

The lecture: with little data, train only the last layer on the features of a pretrained
network. With more data, freeze the first layers and train the others. With enough data,
start from the pretrained weights and train everything.

    python -m cnn_jax.sweep --config=experiments/transfer.py
    python -m cnn_jax.sweep --config=experiments/transfer.py:folder \\
        --config.data.dir=DIR --config.model.init_from=FILE

The first command trains a SqueezeNet 1.0 on the digits 0 to 4, and continues on 1, 5,
20 and 100% of the digits 5 to 9, drawn anew for each seed. The second command trains on
your pictures from torchvision's ImageNet weights.
"""

from cnn_jax.training import recipes
from cnn_jax.training.config import choose

# Keys that are set to the seed: each seed also draws its own examples.
SEEDED = ("data.subset_seed",)


def digits():
    config = recipes.some_digits((5, 6, 7, 8, 9))
    config.data.batch_size = 32
    config.train = {"steps": 200}
    config.eval = {"every_steps": 50}
    config.schedule = {"name": "cosine", "warmup_steps": 20}
    return config


def source_digits():
    return recipes.some_digits((0, 1, 2, 3, 4))


def folder():
    config = digits()
    config.data = {"name": "folder", "image_size": 64, "batch_size": 32}
    config.model = {"name": "squeezenet1_0", "head": "gap"}
    config.model.init_from = "squeezenet1_0.safetensors"
    config.optimizer.learning_rate = 5e-4
    return config


def get_config(arg=None):
    return choose({"digits": digits, "source": source_digits, "folder": folder}, arg)


def source(arg=None):
    return None if arg == "folder" else "source"


def sweep(arg=None):
    # A head alone tolerates, and needs, ten times the learning rate.
    rate = 10 * get_config(arg).optimizer.learning_rate
    regimes = {
        "all": {},
        "all (early layers slower)": {"optimizer.layer_decay": 0.7},
        "last blocks": {"optimizer.train_only": "head|fire[89]"},
        "head only": {"optimizer.train_only": "head", "optimizer.learning_rate": rate},
        "from scratch": {"optimizer.reinitialize": ".*"},
    }
    for share in (0.01, 0.05, 0.2, 1.0):
        base = f"{share:.0%}, all"
        for regime, values in regimes.items():
            name = f"{share:.0%}, {regime}"
            values = {"data.train_examples": share} | values
            yield name, values, None if name == base else base
