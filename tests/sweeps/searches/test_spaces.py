"""Search spaces: from the user's function, or around an arm's own values."""

import numpy as np
import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.runs.resolve import resolve
from cnn_jax.sweeps.arms import Arm
from cnn_jax.sweeps.searches import spaces

optuna = pytest.importorskip("optuna")


@pytest.fixture
def config(values):
    group = {"name": "sgd", "learning_rate": 0.02, "weight_decay": 0.0}
    return resolve(values(optimizer=group))


def suggested(tune, config):
    trial = optuna.create_study().ask()
    return spaces.suggestions(Arm("a", tune=tune), config, "f.py")(trial), trial


def test_a_factor_of_ten_around_the_arms_own_value(config):
    arm = Arm("a", tune=("optimizer.learning_rate",))
    assert spaces.ranges(arm, config) == {"optimizer.learning_rate": (0.002, 0.2)}
    values, trial = suggested(arm.tune, config)
    assert 0.002 <= values["optimizer.learning_rate"] <= 0.2
    assert trial.distributions["optimizer.learning_rate"].log


def test_ranges_of_the_users(config):
    tune = {
        "optimizer.momentum": (0.5, 0.75),
        "data.batch_size": [1, 3],
        "optimizer.clip_norm": (1, 2),
        "optimizer.weight_decay": (0, 0.1),
        "optimizer.learning_rate": (0.5, 1),
    }
    values, trial = suggested(tune, config)
    for key, (low, high) in tune.items():
        assert low <= values[key] <= high
    assert type(values["data.batch_size"]) is int
    assert not trial.distributions["optimizer.weight_decay"].log
    assert trial.distributions["optimizer.learning_rate"].log


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        (("optimizer.weight_decay",), "weight_decay, which is 0.0 and has no range"),
        (("optimizer.momentum",), r'set one, as in tune={"optimizer.momentum": \(0.1'),
        (("optimizer.momentun",), "Did you mean 'optimizer.momentum'"),
        (("seed",), "unknown config key in tune of arm 'a' 'seed'"),
        ({"optimizer.momentum": (0.9, 0.5)}, r"in \(0.9, 0.5\): set a range"),
        ({"optimizer.momentum": 0.5}, "in 0.5: set a range"),
        ({"optimizer.momentum": ("a", "b")}, "set a range"),
    ],
)
def test_keys_without_a_range(tune, message, config):
    with pytest.raises(UserError, match=message):
        spaces.suggestions(Arm("a", tune=tune), config, "f.py")


def test_a_function_says_what_a_trial_sets(config):
    def search(trial):
        width = trial.suggest_int("width", 3, 3)
        return {"model.hidden": (width,), "optimizer.momentum": np.float32(0.5)}

    values, _ = suggested(search, config)
    assert values == {"model.hidden": (3,), "optimizer.momentum": 0.5}
    assert type(values["optimizer.momentum"]) is float


def test_the_names_may_be_the_keys(config):
    def search(trial):
        trial.suggest_int("data.batch_size", 2, 2)

    assert suggested(search, config)[0] == {"data.batch_size": 2}


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (lambda trial: 3, "returns 3: return config values"),
        (lambda trial: None, "returns {}: return config values"),
        (lambda trial: {"seed": 1}, "sets the seed"),
        (lambda trial: 1 / 0, "failed: ZeroDivisionError"),
        (lambda trial: trial.suggest_categorical("h", [(1,)]), "Choices for a categ"),
    ],
)
def test_mistakes_in_a_function(search, message, config):
    with pytest.raises(UserError, match=message):
        suggested(search, config)
