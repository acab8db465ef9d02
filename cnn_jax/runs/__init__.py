"""The folder of a run, and what each command does with the run in the folder."""

from cnn_jax.runs.export import export_weights
from cnn_jax.runs.learning_rate_range import run as find_learning_rate
from cnn_jax.runs.loaded import Loaded, load
from cnn_jax.runs.prediction import predict
from cnn_jax.runs.probes import probe_run, probe_weights
from cnn_jax.runs.recognition import identify, verify
from cnn_jax.runs.run_evaluation import evaluate
from cnn_jax.runs.run_training import train
from cnn_jax.training.parallel import initialize as join

__all__ = [
    "Loaded",
    "evaluate",
    "export_weights",
    "find_learning_rate",
    "identify",
    "join",
    "load",
    "predict",
    "probe_run",
    "probe_weights",
    "train",
    "verify",
]
