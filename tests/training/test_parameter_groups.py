"""The texts of `optimizer.groups`."""

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.training import parameter_groups
from cnn_jax.training.parameter_groups import Options, resolved

TEXTS = (
    "(?:conv1|conv2)/.*: learning_rate_factor=0.1, weight_decay=0.0",
    "head: frozen=True",
)


@pytest.mark.parametrize(
    "given",
    [
        TEXTS,
        [
            ("(?:conv1|conv2)/.*", {"weight_decay": 0, "learning_rate_factor": 0.1}),
            ["head", {"frozen": True}],
        ],
        "(?:conv1|conv2)/.*:learning_rate_factor=0.1,weight_decay=0; head: frozen=True",
        str(TEXTS),
    ],
)
def test_entries_become_texts(given):
    assert resolved(given) == TEXTS
    assert resolved(list(resolved(given))) == TEXTS


@pytest.mark.parametrize("given", ["", (), [], "()"])
def test_no_groups(given):
    assert resolved(given) == ()


def test_the_pattern_and_the_options_of_a_text():
    assert parameter_groups.parsed(TEXTS[0]) == (
        "(?:conv1|conv2)/.*",
        Options(learning_rate_factor=0.1, weight_decay=0.0),
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (3, "must be a list of groups"),
        ("head", "has the entry 'head': write a pattern and options"),
        ("head:", "write a pattern and options"),
        (": frozen=True", "write a pattern and options"),
        ("head: frozen", "write a pattern and options"),
        ("head: weight_decay=x", "write a pattern and options"),
        ([("head", {})], "write a pattern and options"),
        ([("head", 3)], "write a pattern and options"),
        ("head: weight_dekay=0", "Did you mean 'weight_decay'"),
        ("head: weight_decay=-1", r"head\(weight_decay\)=-1.* must be at least 0"),
        ("head: frozen=1", r"head\(frozen\) must be of type bool"),
    ],
)
def test_mistakes(given, words):
    with pytest.raises(UserError, match=words):
        resolved(given)
