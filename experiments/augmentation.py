"""What does augmentation add, with five training examples of each class?

Each augmentation is tried from pretrained weights and from random initial values.
RandAugment is that of Cubuk et al. 2019, random erasing that of Zhong et al. 2017, and
mixup that of Zhang et al. 2018.

    python -m cnn_jax.sweep --config=experiments/augmentation.py
    python -m cnn_jax.sweep --config=experiments/augmentation.py:folder \\
        --config.data.dir=DIR --config.model.init_from=FILE

The first command trains a SqueezeNet 1.0 on the digits 0 to 4, and continues on the
digits 5 to 9. The second command trains on your pictures from torchvision's ImageNet
weights. Its 50 training pictures are five of each class if there are ten classes;
otherwise set `data.train_examples` and `data.batch_size`.
"""

from cnn_jax.training import recipes
from cnn_jax.training.config import choose

# Keys that are set to the seed: each seed also draws its own examples.
SEEDED = ("data.subset_seed",)
STARTS = {"pretrained": {}, "from scratch": {"optimizer.reinitialize": ".*"}}


def digits():
    config = recipes.some_digits((5, 6, 7, 8, 9))
    config.data.train_examples = 25
    config.data.batch_size = 25
    config.train = {"steps": 200}
    config.eval = {"every_steps": 50}
    config.schedule = {"name": "cosine", "warmup_steps": 20}
    return config


def source_digits():
    return recipes.some_digits((0, 1, 2, 3, 4))


def folder():
    config = digits()
    config.data = {"name": "folder", "image_size": 112}
    config.data.train_examples = 50
    config.data.batch_size = 50
    config.model = {"name": "squeezenet1_0", "head": "gap"}
    config.model.init_from = "squeezenet1_0.safetensors"
    config.optimizer.learning_rate = 5e-4
    return config


def get_config(arg=None):
    return choose({"digits": digits, "source": source_digits, "folder": folder}, arg)


def source(arg=None):
    return None if arg == "folder" else "source"


def augmentations(size):
    """Returns the compared augmentations of images with `size` pixels a side."""
    crop = f"crop(padding={size // 14})"
    policy = "rand_augment(layers=2, magnitude=9)"
    return {
        "none": (),
        "crops": (crop,),
        "resized crops": ("random_resized_crop(area=(0.35, 1.0))",),
        "RandAugment": (crop, policy),
        "all": (crop, policy, "random_erasing", "mixup(alpha=0.2)"),
    }


def sweep(arg=None):
    size = get_config(arg).data.image_size
    for start, values in STARTS.items():
        base = f"{start}, none"
        for name, chosen in augmentations(size).items():
            arm = f"{start}, {name}"
            changes = values | {"data.augmentations": chosen}
            yield arm, changes, None if arm == base else base
