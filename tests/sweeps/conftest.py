"""A small experiment of three arms, one of which fails."""

import textwrap

import pytest

EXPERIMENT = '''
    """Does the rate matter?

    A second paragraph.
    """

    from cnn_jax.training import recipes


    def get_config(arg=None):
        config = recipes.digits(epochs=2)
        config.model = {"name": "mlp", "hidden": (8,)}
        config.eval.every_epochs = 1
        if arg == "few":
            config.data.train_examples = 64
        return config


    def sweep():
        yield "base", {}
        yield "wider, by half", {"model.hidden": (12,)}
        yield "diverges", {"optimizer.learning_rate": 1e30}
'''


@pytest.fixture
def experiment_file(tmp_path):
    path = tmp_path / "rates.py"
    path.write_text(textwrap.dedent(EXPERIMENT).lstrip())
    return path
