"""Reads and writes stored weights: PyTorch state dicts, and this package's variables.

Only tensors are read from a PyTorch file; code in the file is never executed.
"""

import contextlib
import hashlib
import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orbax.checkpoint as ocp
import safetensors
import safetensors.numpy
from flax.traverse_util import flatten_dict

from cnn_jax.core import disk, extras, records
from cnn_jax.core.errors import UserError
from cnn_jax.core.orbax_paths import orbax_path
from cnn_jax.weights.torch_weights import tidy

# The content of a folder: the facts as JSON, and an Orbax checkpoint.
FACTS, VARIABLES = "weights.json", "variables"
HUB = "hf:"
# The names of the tree with the variables in other programs' checkpoints.
TREES = ("ema", "state", "default", "model")

# The largest unpacked size, as a multiple of the archive's size. PyTorch does not
# compress.
MOST_UNPACKED = 100

SAFE_TORCH = 2, 6


class Normalization(NamedTuple):
    """The normalization of a network's images: (image - mean) / std for each channel.

    Before the normalization, the values of images are from 0 to 1.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Weights:
    """The weights in a file or folder.

    The weights are either variables of this package, or a state dict with the names and
    layouts of torchvision or timm.

    Attributes:
      arrays: the weights. The names of this package's variables are paths such as
        "params/stem/conv/kernel".
      facts: information about variables of this package, such as the name of the
        "model"; {} if there is no information. None for a state dict.
      normalization: the normalization of the images with which the weights were
        trained; None if unknown.
    """

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any] | None = None
    normalization: Normalization | None = None


def read(path: Path | str) -> Weights:
    """Returns the weights in a file, a folder or a repository of the Hugging Face hub.

    Args:
      path: a .safetensors, .pth or .pt file with torchvision's or timm's names; a
        folder written by `convert`; an Orbax checkpoint with "params"; or a repository
        of the Hugging Face hub, "hf:OWNER/NAME" or "hf:OWNER/NAME@REVISION".

    Raises:
      UserError: the path does not exist, or cannot be read.
    """
    if str(path).startswith(HUB):
        return _read_hub(str(path).removeprefix(HUB))
    path = Path(path)
    if not path.exists():
        raise UserError(f"there are no weights at {path}.")
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise UserError(f"{path} is not a regular file, but a pipe or a device.")
    if path.suffix not in _READERS:
        raise UserError(
            f"{path} is not a file of weights: the name of such a file ends in "
            f"{', '.join(_READERS)}."
        )
    state = tidy(_READERS[path.suffix](path))
    metadata = _metadata(path) if path.suffix == ".safetensors" else {}
    return Weights(state, normalization=normalization_of(metadata, path))


def normalization_of(
    facts: Mapping[str, Any], place: Path | str
) -> Normalization | None:
    """Returns the normalization that information about weights states.

    Args:
      facts: information about weights. The entries "mean" and "std" have one number for
        each channel. If an entry is missing or does not contain numbers, the result is
        None.
      place: the source of the information, for the error.

    Raises:
      UserError: the numbers are not a valid normalization.
    """
    try:
        mean, std = (tuple(map(float, facts[key])) for key in ("mean", "std"))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    if (
        len(mean) != len(std)
        or not all(map(math.isfinite, mean + std))
        or min(std, default=0) <= 0
    ):
        raise UserError(
            f"{place} states a normalization by mean {mean} and std {std}, which is "
            "not valid: mean and std need the same number of finite values, and each "
            "std must be above 0."
        )
    return Normalization(mean, std)


def _metadata(path: Path) -> dict[str, Any]:
    """Returns the information about weights in the header of a .safetensors file.

    `write_file` writes this information. Entries of the header that are not JSON are
    left out.
    """
    with safetensors.safe_open(path, framework="np") as file:
        metadata = file.metadata() or {}
    found = {}
    for key, text in metadata.items():
        with contextlib.suppress(ValueError, RecursionError):
            found[key] = json.loads(text)
    return found


def _read_hub(name: str) -> Weights:
    """Returns the weights of a repository of the Hugging Face hub, in timm's format.

    Args:
      name: "OWNER/NAME" or "OWNER/NAME@REVISION".
    """
    huggingface_hub = extras.need("huggingface_hub", "hf", f"{HUB}{name}")
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")

    def fetch(file: str) -> Path:
        return Path(
            huggingface_hub.hf_hub_download(repository, file, revision=revision or None)
        )

    try:
        try:
            file = fetch("model.safetensors")
        except LocalEntryNotFoundError:  # no network
            raise
        except EntryNotFoundError:
            file = fetch("pytorch_model.bin")
        config = json.loads(fetch("config.json").read_text(encoding="utf-8"))
        facts = config.get("pretrained_cfg", {})
    except Exception as error:  # the library raises dozens of types
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"{HUB}{name} cannot be fetched: {reason[0]}") from error
    state = (_read_safetensors if file.suffix == ".safetensors" else _read_torch)(file)
    return Weights(tidy(state), normalization=normalization_of(facts, f"{HUB}{name}"))


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        with safetensors.safe_open(path, framework="np") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, AttributeError, TypeError) as error:
        # NumPy has no floating-point types of 8 bits or fewer.
        raise _unreadable(path, error) from error


def _read_torch(path: Path) -> Mapping[str, Any]:
    try:
        import torch
    except ImportError:
        raise UserError(
            f"{path} needs PyTorch to be read: `pip install torch`, or save the "
            "weights as .safetensors where PyTorch is installed."
        ) from None
    if tuple(map(int, torch.__version__.split(".")[:2])) < SAFE_TORCH:
        raise UserError(
            f"{path} needs PyTorch 2.6 or later to be read, and {torch.__version__} is "
            "installed: in earlier versions, a file can run code (CVE-2025-32434)."
        )
    try:
        _check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes cause errors of many types
        raise _unreadable(path, error) from error
    if not isinstance(state, Mapping) or not all(isinstance(k, str) for k in state):
        raise UserError(
            f"{path} holds a {type(state).__name__}, and not a state dict: save only "
            "model.state_dict()."
        )
    return state


def _check_archive(path: Path) -> None:
    """Raises `ValueError` if the unpacked size of an archive is far too large.

    The limit is `MOST_UNPACKED` times the size of the archive.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(part.file_size for part in archive.infolist())
    if unpacked > MOST_UNPACKED * path.stat().st_size:
        raise ValueError(f"it would unpack to {unpacked} bytes")


_READERS = {
    ".safetensors": _read_safetensors,
    ".pth": _read_torch,
    ".pt": _read_torch,
}


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = str(error).strip().splitlines() or ["no reason given"]
    return UserError(
        f"{path} cannot be read as weights ({type(error).__name__}: {reason[0]}). "
        "The file is damaged, or holds more than tensors: in PyTorch, save only "
        "model.state_dict()."
    )


def _read_folder(path: Path) -> Weights:
    if not (path / FACTS).exists():
        return _read_orbax(path)
    try:
        facts = records.read_json(path / FACTS)
        checksums = set(facts["checksums"].items())
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path / FACTS} is damaged ({error}).") from error
    arrays = _restored(path / VARIABLES)
    # Orbax restores array data with a flipped byte without an error.
    if damaged := checksums ^ set(_checksums(arrays).items()):
        raise UserError(
            f"{path} is damaged: the checksum of {min(damaged)[0]} is wrong."
        )
    return Weights(arrays, facts, normalization_of(facts, path / FACTS))


def _read_orbax(path: Path) -> Weights:
    """Returns the weights in an Orbax checkpoint.

    The weights are the tree "params" and, if there is one, the tree "batch_stats"
    beside "params". Both trees may be inside the trees of other programs (`TREES`).
    """
    items = [path, *(path / name for name in TREES)]
    places = [place for place in items if (place / "_METADATA").exists()]
    if not places:
        raise UserError(
            f"{path} is not a folder of weights: it is neither a run's folder (with "
            f"config.json), nor written by `python -m cnn_jax.convert` (with {FACTS}), "
            "nor an Orbax checkpoint (with _METADATA)."
        )
    arrays = _restored(places[0])
    prefixes = ["", *(f"{name}/" for name in TREES)]
    prefixes += [f"{outer}{name}" for outer in prefixes[1:] for name in prefixes[1:]]
    found = [p for p in prefixes if any(k.startswith(f"{p}params/") for k in arrays)]
    if not found:
        raise UserError(
            f"the Orbax checkpoint {path} has no entry 'params': give a checkpoint "
            "of a training state or of variables."
        )
    # Averaged parameters are preferred, because evaluation uses them.
    averages = [prefix for prefix in found if prefix.endswith("ema/")]
    prefix = (averages or found)[0]
    kinds = tuple(f"{prefix}{kind}/" for kind in ("params", "batch_stats"))
    return Weights(
        {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(kinds)},
        facts={},
    )


def _restored(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of an Orbax checkpoint, by paths such as
    "params/stem/conv/kernel"."""
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            tree = checkpointer.restore(orbax_path(path))
        return {
            key: np.asarray(value)
            for key, value in flatten_dict(tree, sep="/").items()
            if hasattr(value, "shape")
        }
    except Exception as error:  # Orbax raises many types
        raise _unreadable(path, error) from error


def _checksums(arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Returns the CRC-32 of the bytes of each array, by the array's name."""
    return {
        key: zlib.crc32(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
        for key, value in arrays.items()
    }


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_folder(path: Path, *, overwrite: bool) -> None:
    """Raises `UserError` unless a folder of weights may be written at `path`.

    Args:
      path: the folder to write.
      overwrite: whether an existing folder that `convert` has written may be replaced.
    """
    if path.exists() and not path.is_dir():
        raise UserError(f"--output={path} is a file, not a folder.")
    if not path.is_dir() or not any(path.iterdir()):
        return
    if not (path / FACTS).exists():
        raise UserError(
            f"--output={path} is not empty and not a folder of weights ({FACTS} is "
            "missing): choose another folder."
        )
    if not overwrite:
        raise UserError(
            f"--output={path} is not empty; --overwrite replaces the folder."
        )
    others = sorted({p.name for p in path.iterdir()} - {FACTS, VARIABLES})
    facts = records.read_json(path / FACTS)
    if others or not isinstance(facts, dict) or "checksums" not in facts:
        raise UserError(
            f"--output={path} holds {others[0] if others else FACTS}, which "
            "`convert` did not write: choose another folder."
        )


def write_folder(
    path: Path,
    variables: Mapping[str, Any],
    facts: Mapping[str, Any],
    *,
    overwrite: bool,
) -> None:
    """Writes a folder with an Orbax checkpoint of variables and a file of information.

    Args:
      path: the folder to write.
      variables: {"params": ..., "batch_stats": ...}.
      facts: information about the weights, which is written as JSON.
      overwrite: whether an existing folder that `convert` has written is replaced.

    Raises:
      UserError: the folder must not be replaced (see `check_folder`), or cannot be
        written.
    """
    check_folder(path, overwrite=overwrite)
    arrays = flatten_dict(variables, sep="/")
    with disk.replacing(path) as new:
        new.mkdir()
        with ocp.PyTreeCheckpointer() as checkpointer:
            checkpointer.save(orbax_path(new / VARIABLES), dict(variables))
        text = json.dumps({**facts, "checksums": _checksums(arrays)}, indent=2)
        (new / FACTS).write_text(text + "\n", encoding="utf-8")


def check_file(path: Path, *, overwrite: bool) -> None:
    """Raises `UserError` unless a .safetensors file may be written at `path`.

    Args:
      path: the file to write.
      overwrite: whether an existing file may be replaced.
    """
    if path.suffix != ".safetensors":
        raise UserError(f"--output={path} must be a .safetensors file.")
    if path.is_dir():
        raise UserError(f"--output={path} is a folder: choose another name.")
    if path.exists() and not overwrite:
        raise UserError(f"--output={path} exists; --overwrite replaces the file.")


def write_file(
    path: Path,
    state: Mapping[str, np.ndarray],
    facts: Mapping[str, str],
    *,
    overwrite: bool,
) -> None:
    """Writes a state dict as a .safetensors file.

    Args:
      path: the file to write.
      state: the arrays of the state dict by name.
      facts: information about the weights, which is written into the file's header.
      overwrite: whether an existing file is replaced.

    Raises:
      UserError: the file must not be replaced (see `check_file`), or cannot be written.
    """
    check_file(path, overwrite=overwrite)
    with disk.replacing(path) as new:
        # PyTorch's own reader expects the origin of the tensors.
        metadata = {"format": "pt", **facts}
        safetensors.numpy.save_file(dict(state), new, metadata=metadata)
