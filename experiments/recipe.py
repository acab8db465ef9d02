"""What does each ingredient of a training recipe give?

Seven ingredients, each alone, and each left out of the whole recipe. Ingredients depend
on each other, so 16 further recipes form a fractional factorial design: the report's
main effects are means over these recipes.

    python -m cnn_jax.sweep --config=experiments/recipe.py
    python -m cnn_jax.sweep --config=experiments/recipe.py:cifar10

The data are 5,000 photos of CIFAR-10 at 16x16 pixels, and training takes 20 epochs.
`:cifar10` is the whole set at 32x32 pixels. Both need `tfds:cifar10`.
"""

from cnn_jax.sweeps.statistics import factorial
from cnn_jax.training import recipes
from cnn_jax.training.config import choose

SEEDS = 3
# The augmentations of an ingredient, or its config values.
INGREDIENTS = {
    "crops and flips": ("crop(padding=2)", "flip"),
    "cutout": ("cutout(size=6)",),
    "mixup": ("mixup(alpha=0.2)",),
    "weight decay": {"optimizer.weight_decay": 5e-4},
    "cosine decay": {"schedule.name": "cosine"},
    "label smoothing": {"task.label_smoothing": 0.1},
    "moving average": {"optimizer.ema_decay": 0.99},
}
NOTHING, EVERYTHING = "nothing", "everything"
BASIC = tuple(INGREDIENTS)[:4]
GENERATED = {
    "cosine decay": (BASIC[0], BASIC[1], BASIC[2]),
    "label smoothing": (BASIC[1], BASIC[2], BASIC[3]),
    "moving average": (BASIC[0], BASIC[2], BASIC[3]),
}


def name(ingredients):
    """Returns the name of a recipe: the number of each of its ingredients."""
    numbers = [
        str(i) for i, key in enumerate(INGREDIENTS, start=1) if key in ingredients
    ]
    if len(numbers) == len(INGREDIENTS):
        return EVERYTHING
    return "+".join(numbers) or NOTHING


DESIGN = {name(arm): arm for arm in factorial.fraction(BASIC, GENERATED)}


def bare(config):
    """Returns the config without any ingredient."""
    config.data.augmentations = ()
    config.task.label_smoothing = 0.0
    config.optimizer.weight_decay = 0.0
    config.schedule = {"name": "constant", "warmup_epochs": 1}
    return config


def few_cifar10():
    config = bare(recipes.few_cifar10())
    config.train.epochs = 20
    config.eval.every_epochs = 5
    return config


def get_config(arg=None):
    whole = {"cifar10": lambda: bare(recipes.short_cifar10())}
    return choose({"few_cifar10": few_cifar10} | whole, arg)


def values(ingredients):
    """Returns the config values of a recipe."""
    chosen = [given for key, given in INGREDIENTS.items() if key in ingredients]
    augmentations = [given for given in chosen if isinstance(given, tuple)]
    found = {"data.augmentations": sum(augmentations, ())}
    for given in chosen:
        found |= {} if isinstance(given, tuple) else given
    return found


def sweep():
    everything = frozenset(INGREDIENTS)
    yield NOTHING, {}
    yield EVERYTHING, values(everything), NOTHING
    for key in INGREDIENTS:
        yield f"only {key}", values({key}), NOTHING
    for key in INGREDIENTS:
        yield f"all but {key}", values(everything - {key}), EVERYTHING
    for arm, ingredients in DESIGN.items():
        if arm not in (NOTHING, EVERYTHING):
            yield arm, values(ingredients), None


def conclude(values):
    return factorial.effects_table(values, DESIGN, "test/accuracy")
