"""Networks for clips and volumes (Tran et al. 2015, 2018): motion, actions, scans.

    python -m cnn_jax.main --config=configs/video.py
    python -m cnn_jax.main --config=configs/video.py --config.model.name=r2d_18

The first command classifies all motions of the embedded clips correctly after 41 s on
one CPU core (one seed). The label is the direction and the speed of a digit, which a
single frame does not show. The network of the second command sees each frame alone and
stays at 8.5%, near chance (6.3%).

    python -m cnn_jax.main --config=configs/video.py:clips --config.data.dir=DIR
    python -m cnn_jax.main --config=configs/video.py:volumes --config.data.dir=DIR

These commands train on your clips and volumes in DIR/<class>/*. On 1,200 clips of
twelve frames of moving digits, as GIFs, `:clips` reaches 100% of 300 videos with

    --config.data.image_size=32 --config.data.channels=1 --config.data.frames=8 \\
    --config.data.random_crop=none --config.data.eval_crop=1 \\
    --config.data.clips_per_video=3 \\
    --config.data.batch_size=32 --config.model.width=8 \\
    --config.model.stage_sizes='(1, 1, 1, 1)' --config.optimizer.learning_rate=0.1 \\
    --config.train.epochs=10
"""

from cnn_jax.training import recipes
from cnn_jax.training.config import choose, default


def moving():
    """Eight frames of 32x32 pixels, an eighth of the width."""
    config = recipes.moving_digits()
    config.model = {"name": "r3d_18", "width": 8, "stage_sizes": (1, 1, 1, 1)}
    config.optimizer.weight_decay = 5e-4
    return config


def clips():
    """Videos in DIR/<class>/*, or DIR/<split>/<class>/*: 16 frames of 112x112 pixels
    (Tran et al. 2018, section 4.1). Training takes one clip of each video, and testing
    ten."""
    config = default()
    config.data = {
        "name": "clips",
        "batch_size": 16,
        "clips_per_video": 10,
        "random_crop": (0.25, 1.0),
        "eval_crop": 0.875,
        "normalization": "imagenet",
        "workers": 2,
    }
    config.model = {"name": "r3d_18", "width": 16}
    config.task = {"name": "action_recognition", "label_smoothing": 0.1}
    config.optimizer.learning_rate = 0.02
    config.optimizer.weight_decay = 5e-4
    config.schedule.warmup_epochs = 2
    config.train.epochs = 30
    config.eval.every_epochs = 5
    return config


def volumes():
    """Volumes in DIR/<class>/*, or DIR/<split>/<class>/*, at 32x32x32 voxels."""
    config = default()
    config.data = {
        "name": "volumes",
        "batch_size": 16,
        "augmentations": ("crop(padding=2)",),
    }
    config.model = {"name": "r3d_18", "width": 16, "stage_sizes": (1, 1, 1, 1)}
    config.optimizer.learning_rate = 0.02
    config.optimizer.weight_decay = 5e-4
    config.schedule.warmup_epochs = 2
    config.train.epochs = 30
    config.eval.every_epochs = 5
    return config


def still():
    """Digits as clips of four equal frames of 8x8 pixels."""
    config = recipes.digits(epochs=15)
    config.model = {"name": "r3d_18", "stem": "small", "width": 8, "frames": 4}
    config.optimizer.weight_decay = 5e-4
    config.task.label_smoothing = 0.1
    return config


def cifar10():
    config = recipes.cifar10()
    config.model = {"name": "r3d_18", "stem": "small", "width": 32, "frames": 8}
    config.optimizer.weight_decay = 5e-4
    return config


def imagenet():
    config = recipes.imagenet()
    config.data.image_size = 112
    config.model = {"name": "r3d_18", "frames": 8, "dtype": "bfloat16"}
    return config


def get_config(arg=None):
    return choose(
        {
            "moving": moving,
            "clips": clips,
            "volumes": volumes,
            "still": still,
            "cifar10": cifar10,
            "imagenet": imagenet,
        },
        arg,
    )
