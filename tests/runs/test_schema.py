"""Which keys a config has."""

import pytest

from cnn_jax.core.errors import UserError
from cnn_jax.core.keys import Key
from cnn_jax.runs import schema as schema_lib
from cnn_jax.runs.schema import merged, schema
from cnn_jax.training.config import default


def test_two_readers_of_one_key_agree():
    keys = {"a": Key(int, 1)}
    assert merged("data", keys, keys | {"b": Key(str)}) == {**keys, "b": Key(str)}
    for other in (Key(int, 2), Key(float, 1), Key(int)):
        with pytest.raises(TypeError, match=r"two functions read config\.data\.a with"):
            merged("data", keys, {"a": other})


def test_readers_of_ours_that_disagree_are_found_at_import(monkeypatch):
    def other(schedule, *, clip_norm: int = 3):
        return schedule

    schema_lib._check_ours()
    monkeypatch.setitem(schema_lib.optimizers.OPTIMIZERS, "other", other)
    with pytest.raises(
        TypeError, match=r"two functions read config\.optimizer\.clip_norm"
    ):
        schema_lib._check_ours()
    # Of a thing of a user's it is the user's mistake.
    values = default().to_dict()
    values["optimizer"]["name"] = "other"
    with pytest.raises(UserError, match="Rename the key in your code"):
        schema(values)


@pytest.mark.parametrize("group", ["model", "task", "optimizer", "schedule", "data"])
def test_names_that_lead_nowhere(group):
    values = default().to_dict()
    for name in ("no_such_thing", "no_such_package.Thing", 3):
        values[group]["name"] = name
        with pytest.raises(UserError):
            schema(values)
