"""The packages; all else is in setup.cfg.

Recipes and experiments lie beside the package in a checkout, and within it in a wheel.
"""

from setuptools import find_packages, setup

BESIDE = {"cnn_jax.configs": "configs", "cnn_jax.experiments": "experiments"}

setup(packages=[*find_packages(include=["cnn_jax*"]), *BESIDE], package_dir=BESIDE)
