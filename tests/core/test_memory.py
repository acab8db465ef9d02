"""Arrays that do not fit into memory are refused before they are made."""

import time

import pytest

from cnn_jax import data
from cnn_jax.core import memory
from cnn_jax.core.errors import UserError


def test_the_machines_memory():
    assert 2**28 < memory.total() < 2**50


def test_a_container_may_use_less(tmp_path, monkeypatch):
    (tmp_path / "limit").write_text("1048576\n")
    (tmp_path / "none").write_text("max\n")
    found = []
    for name in ("limit", "none", "absent"):
        monkeypatch.setattr(memory, "LIMITS", (str(tmp_path / name),))
        found.append(memory.total())
    assert found[0] == 2**20 < found[1] == found[2]


def test_what_fits_and_what_does_not():
    memory.check(10, "a thing", "take less", most=10)
    with pytest.raises(
        UserError, match=r"^a thing would take 2\.0 GiB .* take less\.$"
    ):
        memory.check(2**31, "a thing", "take less", most=2**30)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("digits", {"image_size": 2**16}),
        ("digit_scenes", {"train_examples": 10**9}),
        ("digit_scenes", {"image_size": 2**16}),
        ("moving_digits", {"test_examples": 10**9}),
        ("identities", {"image_size": (2**16,)}),
        ("picture_and_style", {"image_size": (2**16,)}),
    ],
)
def test_images_of_no_machine_are_refused_at_once(name, options, monkeypatch):
    monkeypatch.setattr(memory, "total", lambda: 2**33)
    begun = time.perf_counter()
    with pytest.raises(UserError, match=r"GiB of memory, and there are only 8\.0 GiB"):
        data.load(name, **options)
    assert time.perf_counter() - begun < 20
