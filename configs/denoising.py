"""Denoising of Gaussian noise: DnCNN (Zhang et al. 2017).

    python -m cnn_jax.main --config=configs/denoising.py
    python -m cnn_jax.main --config=configs/denoising.py:folder \\
        --config.data.dir=DIR --config.data.test_dir=DIR

The first command learns to remove noise from digits, and the second command from your
pictures. Without `data.test_dir`, every tenth picture is a test picture. The results
are PSNR and SSIM on luma, for the outputs and for the noisy pictures.
"""

from cnn_jax.training import recipes
from cnn_jax.training.config import choose


def digits():
    config = recipes.restoration("denoising")
    config.model = {"name": "dncnn", "depth": 5, "features": 32}
    config.task.loss_name = "l2"
    return config


def folder():
    config = digits()
    config.data.batch_size = 16
    config.data.image_size = 40
    config.data.augmentations = ("flip",)
    config.model = {"name": "dncnn"}
    config.train = {"steps": 6000}
    config.eval = {"every_steps": 1000}
    return config


def get_config(arg=None):
    return choose({"digits": digits, "folder": folder}, arg)
