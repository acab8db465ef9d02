"""How much does a search for the learning rate and the weight decay gain?

Most recipes take both values from a paper, whose network and data were others. A search
tries 30 settings on the validation split, and ends early the trials that fall behind.
The best setting and the config as it is are then trained with the same seeds, and only
these runs read the test split.

    python -m cnn_jax.sweep --config=experiments/learning_rate.py
    python -m cnn_jax.sweep --config=experiments/learning_rate.py --trials=10
    python -m cnn_jax.sweep --config=experiments/learning_rate.py:cifar10
"""

from cnn_jax.training import recipes


def get_config(arg=None):
    config = recipes.experiment(arg)
    if arg != "cifar10":
        # Training takes 256 digits only: with many of the others, the choice depends
        # less on chance.
        config.data.val = 0.5
    return config


def search(trial):
    rate = trial.suggest_float("optimizer.learning_rate", 1e-3, 1.0, log=True)
    decay = trial.suggest_float("optimizer.weight_decay", 1e-5, 1e-2, log=True)
    momentum = trial.suggest_categorical("optimizer.momentum", [0.0, 0.9])
    return {
        "optimizer.learning_rate": rate,
        "optimizer.weight_decay": decay,
        "optimizer.momentum": momentum,
    }
