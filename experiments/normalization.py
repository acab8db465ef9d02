"""Does batch normalization need large batches?

Wu and He 2018 ("Group Normalization", figure 1): the error with batch normalization
grows if batches are small, because the statistics of few examples are poor estimates.
Group normalization takes the statistics of each example alone, so its error does not
depend on the batch size.

    python -m cnn_jax.sweep --config=experiments/normalization.py
    python -m cnn_jax.sweep --config=experiments/normalization.py:cifar10

All arms train for the same number of epochs. As in the paper, the learning rate is
proportional to the batch size.
"""

from cnn_jax.training import recipes

NORMS = ("batch", "group", "layer", "instance", "none")
BATCH_SIZES = (64, 4)


def get_config(arg=None):
    config = recipes.experiment(arg)
    if "steps" in config.train:  # in epochs, since arms differ in steps for each epoch
        config.schedule = {"name": "cosine", "warmup_epochs": 5}
        config.train = {"epochs": 100}
        config.eval = {"every_epochs": 25}
    return config


def sweep():
    for norm in NORMS:
        for size in BATCH_SIZES:
            changes = {
                "model.norm": norm,
                "data.batch_size": size,
                "optimizer.learning_rate": 0.1 * size / 64,
            }
            base = None if norm == "batch" else f"batch, {size}"
            yield f"{norm}, {size}", changes, base
