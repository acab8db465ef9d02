"""Stored weights that are damaged, or made to do damage."""

import json
import os
import sys
import types
import zipfile

import pytest

from cnn_jax.errors import UserError
from cnn_jax.models import weight_files

ONE = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}


def safetensors(header, data=bytes(4), length=None):
    """A file with this header, text or JSON, which states its length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(text) if length is None else length
    return length.to_bytes(8, "little") + text + data


def states(**metadata):
    return safetensors({"__metadata__": metadata, **ONE})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no weights",
        safetensors(b"[" * 100_000),
        safetensors(ONE, length=2**40),
        safetensors(ONE, length=10**7),
        safetensors([1, 2]),
        safetensors(b'{"\xe9": 1}'),
        safetensors({"a": ONE["a"] | {"shape": [-1]}}),
        safetensors({"a": ONE["a"] | {"shape": [2**40], "data_offsets": [0, 2**42]}}),
        safetensors(ONE | {"b": ONE["a"]}),
        safetensors({"a": ONE["a"] | {"dtype": "F8_E4M3", "shape": [4]}}),
        states(mean=1),
        states(mean="[NaN, 0, 0]", std="[1, 1, 1]"),
        states(mean="[0, 0, 0]", std="[1, 0, 1]"),
        states(mean="[0, 0, 0]", std="[1, 1]"),
        states(mean="[]", std="[]"),
    ],
)
def test_damaged_headers_are_one_line(content, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.safetensors (cannot be read|states)") as e:
        weight_files.read(path)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    "mean", ["[" * 100_000, "[" + "9" * 400 + "]", '{"a": 1}', "text", '"abc"', "5"]
)
def test_metadata_that_states_no_normalization(mean, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(states(mean=mean, std="[1]"))
    found = weight_files.read(path)
    assert found.normalization is None and found.arrays["a"].shape == (1,)


@pytest.mark.parametrize(
    "facts",
    ["[" * 100_000, "[]", "5", "{}", '{"checksums": 5}', '{"checksums": {"a": []}}'],
)
def test_facts_of_any_shape(facts, tmp_path):
    (tmp_path / weight_files.FACTS).write_text(facts)
    with pytest.raises(UserError, match="is damaged") as error:
        weight_files.read(tmp_path)
    assert "\n" not in str(error.value)


@pytest.fixture
def torch(monkeypatch):
    """A stand-in for PyTorch, which reads a state dict of nothing."""
    module = types.ModuleType("torch")
    module.__version__ = "2.10.0+cpu"
    module.load = lambda path, map_location, weights_only: {}
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


def test_archives_that_unpack_to_far_more(torch, tmp_path):
    path = tmp_path / "a.pth"
    for compression, size in (
        (zipfile.ZIP_STORED, 1000),
        (zipfile.ZIP_DEFLATED, 10**6),
    ):
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("archive/data.pkl", bytes(size))
        if compression == zipfile.ZIP_STORED:
            assert weight_files.read(path).arrays == {}
    with pytest.raises(UserError, match="would unpack to 1000000 bytes"):
        weight_files.read(path)


@pytest.mark.parametrize("version", ["1.13.1", "2.5.1+cu124"])
def test_pytorch_that_may_run_code_is_not_used(version, torch, tmp_path):
    torch.__version__ = version
    (tmp_path / "a.pt").write_bytes(b"anything")
    with pytest.raises(UserError, match=r"needs PyTorch 2\.6 or later"):
        weight_files.read(tmp_path / "a.pt")


def test_weights_that_are_no_file(tmp_path):
    os.mkfifo(tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="is no regular file"):
        weight_files.read(tmp_path / "a.safetensors")
