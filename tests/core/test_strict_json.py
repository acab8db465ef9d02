"""JSON that any program reads."""

import json
import math

import numpy as np

from cnn_jax.core import strict_json


def test_what_json_lacks_is_null():
    value = {"a": math.nan, "b": [math.inf, (-math.inf, 1)], "c": np.float64(0.5)}
    text = strict_json.dumps(value)
    assert json.loads(text) == {"a": None, "b": [None, [None, 1]], "c": 0.5}
    assert "NaN" not in text and "Infinity" not in text


def test_everything_else_is_as_json_has_it():
    value = {"a": [1, 2.5, None, True, "NaN"], "b": {}}
    assert strict_json.dumps(value, indent=2) == json.dumps(value, indent=2)
