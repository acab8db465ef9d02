"""Semantic segmentation: a class for every pixel.

    python -m cnn_jax.main --config=configs/segmentation.py

This command trains a fully convolutional ResNet-20 (Long et al. 2015) on scenes of
digits. The network reaches a mean IoU of 0.864 in 11 minutes on one CPU core (one
seed).

    python -m cnn_jax.main --config=configs/segmentation.py:camvid \\
        --config.data.dir=DIR --config.model.init_from=FILE

This command trains a U-Net (Ronneberger et al. 2015) with a SqueezeNet as the backbone,
on road scenes. The pictures are in DIR/train, DIR/val and DIR/test, and the masks in
DIR/trainannot, ..., as in SegNet's copy of CamVid. FILE has the SqueezeNet's ImageNet
weights; without `init_from`, training starts from scratch. On CamVid at 240x180 pixels,
with 468 training pictures, the mean IoU on the eleven classes of the test split is
0.553 after 43 minutes on two CPU cores (one seed). For other pictures, change
`data.classes`, `data.ignored` and `data.image_size`.

    python -m cnn_jax.main --config=configs/segmentation.py:pets

This command trains the same U-Net on the photos of `tfds:oxford_iiit_pet` (Parkhi et
al. 2012): the classes are the pet, its outline, and the background.
"""

from cnn_jax.training import recipes
from cnn_jax.training.config import choose, default


def scenes():
    """Strokes are two to four pixels wide, so the last map keeps every second pixel:
    dilation replaces the network's last stride."""
    config = recipes.digit_scenes(epochs=20)
    config.model = {
        "name": "resnet20",
        "stem": "small",
        "head": "fcn",
        "output_stride": 2,
    }
    return config


# The inverse square root of each class's share of the pixels.
WEIGHTS = (0.4, 0.3, 1.7, 0.3, 0.7, 0.5, 1.5, 1.3, 0.7, 1.9, 1.9)


def camvid():
    config = default()
    config.data = {"name": "masks", "image_size": (180, 240), "batch_size": 4}
    config.data.classes = recipes.CAMVID
    config.data.ignored = (len(recipes.CAMVID),)  # void
    config.data.train_split = "train+val"
    config.data.augmentations = ("crop(padding=24)", "flip", "color_jitter(hue=0.0)")
    config.task.name = "segmentation"
    config.task.class_weights = WEIGHTS
    config.task.loss_name = "cross_entropy, dice"
    config.model = {"name": "unet:squeezenet1_0", "decoder_width": 16, "dropout": 0.1}
    config.optimizer = {"name": "adamw", "learning_rate": 2e-3, "weight_decay": 1e-2}
    config.optimizer.clip_norm = 1.0
    config.optimizer.groups = ("backbone/.*: learning_rate_factor=0.25",)
    config.schedule.warmup_epochs = 1
    config.train.epochs = 100
    config.eval = {"every_epochs": 10, "views": ("flip",)}
    return config


def pets():
    config = camvid()
    config.data = {"name": "tfds_masks:oxford_iiit_pet", "image_size": (128,)}
    config.data.batch_size = 32
    config.data.val = 0.1
    config.data.classes = ("pet", "background", "outline")
    config.data.ignored = (0,)  # the classes start at 1
    config.data.augmentations = ("crop(padding=12)", "flip", "color_jitter(hue=0.0)")
    config.data.normalization = "imagenet"
    config.data.workers = 2
    config.task = {"name": "segmentation"}
    config.train.epochs = 20
    config.eval.every_epochs = 2
    return config


def get_config(arg=None):
    return choose({"scenes": scenes, "camvid": camvid, "pets": pets}, arg)
