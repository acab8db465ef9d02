"""Files and folders of weights: what is read, written and refused."""

import hashlib
import json
import os
import sys
import types
import zipfile

import numpy as np
import orbax.checkpoint as ocp
import pytest
import safetensors.numpy

from cnn_jax.core.errors import UserError
from cnn_jax.weights import weight_files
from cnn_jax.weights.weight_files import Normalization

STATE = {
    "fc.weight": np.arange(6, dtype=np.float32).reshape(3, 2),
    "fc.bias": np.arange(3, dtype=np.float32),
}
VARIABLES = {
    "params": {"head": {"kernel": STATE["fc.weight"].T, "bias": STATE["fc.bias"]}},
    "batch_stats": {},
}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# ------------------------------------------------------------------------------ files


def test_a_file_and_the_facts_in_its_header(tmp_path):
    path = tmp_path / "new" / "w.safetensors"
    facts = {"mean": json.dumps([0.1, 0.2]), "std": json.dumps([1, 2]), "x": "{"}
    weight_files.write_file(path, STATE, facts, overwrite=False)
    found = weight_files.read(path)
    assert found.facts is None and found.normalization == ((0.1, 0.2), (1.0, 2.0))
    assert found.arrays.keys() == STATE.keys()
    for key, value in STATE.items():
        np.testing.assert_array_equal(found.arrays[key], value)
    with safetensors.safe_open(path, framework="np") as file:
        assert file.metadata()["format"] == "pt"  # PyTorch's own reader wants it
    assert names(path.parent) == ["w.safetensors"]


def test_a_file_is_replaced_on_request_only(tmp_path):
    path = tmp_path / "w.safetensors"
    weight_files.write_file(path, STATE, {}, overwrite=False)
    before = path.read_bytes()
    with pytest.raises(UserError, match="exists; --overwrite replaces the file"):
        weight_files.write_file(path, {}, {}, overwrite=False)
    assert path.read_bytes() == before
    weight_files.write_file(path, {"x": np.zeros(1)}, {}, overwrite=True)
    assert weight_files.read(path).arrays.keys() == {"x"}


@pytest.mark.parametrize(
    ("name", "words"),
    [("w.pth", r"must be a \.safetensors file"), ("d.safetensors", "is a folder")],
)
def test_a_file_that_cannot_be_written(name, words, tmp_path):
    (tmp_path / "d.safetensors").mkdir()
    with pytest.raises(UserError, match=words):
        weight_files.check_file(tmp_path / name, overwrite=True)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.pth", "there are no weights at"),
        (
            "notes.txt",
            r"is not a file of weights: .* ends in \.safetensors, \.pth, \.pt",
        ),
        ("folder", "is not a folder of weights"),
    ],
)
def test_what_is_no_weights(name, words, tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=words):
        weight_files.read(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>" * 9, b"\0" * 8])
def test_a_damaged_file_is_named(content, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"w\.safetensors cannot be read"):
        weight_files.read(path)


def header_of(data, dtype, size):
    header = {"x": {"dtype": dtype, "shape": [size], "data_offsets": [0, len(data)]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_bfloat16(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(header_of(b"\x80\x3f\x40\xc0", "BF16", 2))
    value = weight_files.read(path).arrays["x"]
    np.testing.assert_array_equal(value.astype(np.float32), [1.0, -3.0])


def test_the_digest_is_sha256(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 100_000)
    assert weight_files.digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"mean": [0.5, 1], "std": [1, 2]}, Normalization((0.5, 1.0), (1.0, 2.0))),
        ({}, None),
        ({"mean": [0.5]}, None),
        ({"mean": 0.5, "std": 0.5}, None),
        ({"mean": None, "std": None}, None),
        ({"mean": ["a"], "std": ["b"]}, None),
    ],
)
def test_what_facts_say_of_images(facts, expected):
    assert weight_files.normalization_of(facts, "here") == expected


# ---------------------------------------------------------------------------- folders


@pytest.fixture
def folder(tmp_path):
    """A folder of weights."""
    path = tmp_path / "weights"
    facts = {"model": "net", "mean": [0.5], "std": [0.25]}
    weight_files.write_folder(path, VARIABLES, facts, overwrite=False)
    return path


def test_a_folder_comes_back(folder):
    found = weight_files.read(folder)
    assert found.arrays.keys() == {"params/head/kernel", "params/head/bias"}
    kernel = found.arrays["params/head/kernel"]
    np.testing.assert_array_equal(kernel, STATE["fc.weight"].T)
    assert found.facts["model"] == "net" and found.normalization == ((0.5,), (0.25,))
    assert names(folder) == ["variables", "weights.json"]


def test_a_folder_is_replaced_on_request_only(folder):
    with pytest.raises(
        UserError, match="is not empty; --overwrite replaces the folder"
    ):
        weight_files.write_folder(folder, VARIABLES, {}, overwrite=False)
    other = {"params": {"x": np.ones(2, np.float32)}}
    weight_files.write_folder(folder, other, {"model": "other"}, overwrite=True)
    assert weight_files.read(folder).arrays.keys() == {"params/x"}
    assert names(folder.parent) == ["weights"]


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UserError, match="is not empty and not a folder of weights"):
        weight_files.check_folder(tmp_path, overwrite=True)
    with pytest.raises(UserError, match="is a file, not a folder"):
        weight_files.check_folder(tmp_path / "mine.txt", overwrite=True)
    (tmp_path / "empty").mkdir()
    weight_files.check_folder(tmp_path / "empty", overwrite=False)
    weight_files.check_folder(tmp_path / "new", overwrite=False)


def test_a_write_that_fails_leaves_what_was_there(folder):
    before = weight_files.read(folder)
    with pytest.raises(TypeError):
        weight_files.write_folder(
            folder, VARIABLES, {"model": object()}, overwrite=True
        )
    assert weight_files.read(folder).facts == before.facts
    assert names(folder.parent) == ["weights"]


def test_a_disk_that_is_full_is_one_line(folder, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(folder), "write_text", full)
    with pytest.raises(UserError, match=r"cannot write .*weights: No space left"):
        weight_files.write_folder(folder, VARIABLES, {}, overwrite=True)
    monkeypatch.undo()
    assert weight_files.read(folder).facts["model"] == "net"
    assert names(folder.parent) == ["weights"]


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", "null"])
def test_facts_that_are_damaged(text, folder):
    (folder / "weights.json").write_text(text)
    with pytest.raises(UserError, match=r"weights\.json is damaged"):
        weight_files.read(folder)


def test_a_checksum_that_is_wrong(folder):
    path = folder / "weights.json"
    facts = json.loads(path.read_text())
    facts["checksums"]["params/head/bias"] ^= 1
    path.write_text(json.dumps(facts))
    with pytest.raises(UserError, match="checksum of params/head/bias is wrong"):
        weight_files.read(folder)


# ------------------------------------------------------- other programs' checkpoints


@pytest.mark.parametrize("within", [(), ("model",), ("state", "ema"), ("ema",)])
def test_checkpoints_with_params_somewhere(within, tmp_path):
    tree = {"params": {"head": {"bias": np.ones(3)}}, "step": np.int32(1)}
    for name in reversed(within):
        tree = {name: tree}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "tree", tree)
    found = weight_files.read(tmp_path / "tree")
    assert found.arrays.keys() == {"params/head/bias"} and found.facts == {}


def test_averages_are_preferred(tmp_path):
    tree = {
        "params": {"bias": np.zeros(3)},
        "ema": {"params": {"bias": np.ones(3)}, "batch_stats": {"mean": np.ones(2)}},
    }
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "tree", tree)
    found = weight_files.read(tmp_path / "tree").arrays
    assert found.keys() == {"params/bias", "batch_stats/mean"}
    np.testing.assert_array_equal(found["params/bias"], np.ones(3))


def test_a_checkpoint_without_params(tmp_path):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "tree", {"weights": np.zeros(2)})
    with pytest.raises(UserError, match="has no entry 'params'"):
        weight_files.read(tmp_path / "tree")


# ---------------------------------------------------------------------------- the hub


class Hub(types.ModuleType):
    """Stands for huggingface_hub: files of a folder."""

    def __init__(self, root):
        super().__init__("huggingface_hub")
        self.root, self.errors = root, types.ModuleType("huggingface_hub.errors")

        class EntryNotFoundError(Exception):
            pass

        class LocalEntryNotFoundError(EntryNotFoundError):
            pass

        self.errors.EntryNotFoundError = EntryNotFoundError
        self.errors.LocalEntryNotFoundError = LocalEntryNotFoundError

    def hf_hub_download(self, repository, file, revision=None):
        if repository == "no/network":
            raise self.errors.LocalEntryNotFoundError("Please check your connection")
        path = self.root / repository / (revision or "main") / file
        if not path.exists():
            raise self.errors.EntryNotFoundError(f"404: {file}")
        return str(path)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    module = Hub(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", module.errors)
    return module.root


def test_weights_of_the_hub(hub):
    place = hub / "timm" / "resnet18.a1_in1k" / "v2"
    place.mkdir(parents=True)
    state = {"fc.bias": np.arange(3, dtype=np.float32)}
    safetensors.numpy.save_file(state, place / "model.safetensors")
    pretrained_cfg = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2], "x": None}
    (place / "config.json").write_text(json.dumps({"pretrained_cfg": pretrained_cfg}))
    found = weight_files.read("hf:timm/resnet18.a1_in1k@v2")
    assert found.normalization == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    np.testing.assert_array_equal(found.arrays["fc.bias"], [0, 1, 2])
    for spec, words in (
        ("hf:timm/resnet18.a1_in1k", "cannot be fetched: 404: pytorch_model.bin"),
        ("hf:no/network", "cannot be fetched: Please check your connection"),
    ):
        with pytest.raises(UserError, match=f"{spec} {words}"):
            weight_files.read(spec)


def test_the_hub_needs_a_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"hf:a/b needs the package hugg"):
        weight_files.read("hf:a/b")


# --------------------------------------------------------------- made to do damage

ONE = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}


def packed(header, data=bytes(4), length=None):
    """A file with this header, text or JSON, which states its length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(text) if length is None else length
    return length.to_bytes(8, "little") + text + data


def states(**metadata):
    return packed({"__metadata__": metadata, **ONE})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no weights",
        packed(b"[" * 100_000),
        packed(ONE, length=2**40),
        packed(ONE, length=10**7),
        packed([1, 2]),
        packed(b'{"\xe9": 1}'),
        packed({"a": ONE["a"] | {"shape": [-1]}}),
        packed({"a": ONE["a"] | {"shape": [2**40], "data_offsets": [0, 2**42]}}),
        packed(ONE | {"b": ONE["a"]}),
        packed({"a": ONE["a"] | {"dtype": "F8_E4M3", "shape": [4]}}),
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
    with pytest.raises(UserError, match="is not a regular file"):
        weight_files.read(tmp_path / "a.safetensors")
