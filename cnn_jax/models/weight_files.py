"""Files of weights: state dicts of PyTorch, and folders of variables from `convert`.

Of a file of PyTorch's only tensors are read: nothing that it holds is executed.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
import safetensors
import safetensors.numpy
from flax.traverse_util import flatten_dict

from cnn_jax.errors import UserError
from cnn_jax.models.torch_weights import tidy

# The content of a folder: the facts as JSON, and an Orbax checkpoint.
FACTS, VARIABLES = "weights.json", "variables"

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class Weights:
    """What a file or a folder holds.

    Attributes:
      arrays: of a file by torchvision's names and in its layouts, of a folder by the
        paths of our variables: "params/stem/conv/kernel".
      facts: of a folder, what its `weights.json` says; None of a file.
    """

    arrays: dict[str, np.ndarray]
    facts: dict[str, Any] | None = None


def read(path: Path) -> Weights:
    """The content of a .safetensors, .pth or .pt file, or of a folder of `convert`.

    Raises:
      UserError: there is no such thing, or it cannot be read.
    """
    if not path.exists():
        raise UserError(f"there are no weights at {path}.")
    if path.is_dir():
        return _read_folder(path)
    if path.suffix not in _READERS:
        raise UserError(
            f"{path} is no file of weights by its name: {', '.join(_READERS)}."
        )
    return Weights(tidy(_READERS[path.suffix](path)))


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        with safetensors.safe_open(path, framework="np") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, AttributeError, TypeError) as error:
        # NumPy has none of the types of 8 bits and below.
        raise _unreadable(path, error) from error


def _read_torch(path: Path) -> Mapping[str, Any]:
    try:
        import torch
    except ImportError:
        raise UserError(
            f"{path} needs PyTorch to be read: `pip install torch`, or save the "
            "weights as .safetensors where there is one."
        ) from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the bytes provoke
        raise _unreadable(path, error) from error
    if not isinstance(state, Mapping) or not all(isinstance(k, str) for k in state):
        raise UserError(f"{path} holds a {type(state).__name__} and no state dict.")
    return state


_READERS = {
    ".safetensors": _read_safetensors,
    ".pth": _read_torch,
    ".pt": _read_torch,
}


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = str(error).strip().splitlines() or ["no reason given"]
    return UserError(
        f"{path} cannot be read as weights ({type(error).__name__}: {reason[0]}). It "
        "is damaged, or holds more than tensors: save the state dict alone."
    )


def _read_folder(path: Path) -> Weights:
    try:
        facts = json.loads((path / FACTS).read_text(encoding="utf-8"))
        checksums = facts["checksums"]
    except FileNotFoundError:
        raise UserError(
            f"{path} is no folder of weights: there is no {FACTS} in it. "
            "`python -m cnn_jax.convert` makes such folders."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path / FACTS} is damaged ({error}).") from error
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            tree = checkpointer.restore((path / VARIABLES).absolute())
        arrays = {
            key: np.asarray(value) for key, value in flatten_dict(tree, sep="/").items()
        }
    except Exception as error:  # Orbax has many
        raise _unreadable(path, error) from error
    # A flipped byte in array data restores silently.
    if damaged := {*checksums.items()} ^ {*_checksums(arrays).items()}:
        raise UserError(
            f"{path} is damaged: the checksum of {min(damaged)[0]} is wrong."
        )
    return Weights(arrays, facts)


def _checksums(arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """CRC-32 of every array's bytes."""
    return {
        key: zlib.crc32(np.ascontiguousarray(value).reshape(-1).view(np.uint8))
        for key, value in arrays.items()
    }


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_folder(path: Path, *, overwrite: bool) -> None:
    """Raises UserError unless a folder of weights may be written at `path`."""
    if path.exists() and not path.is_dir():
        raise UserError(f"--output={path} is a file, not a folder.")
    if not path.is_dir() or not any(path.iterdir()):
        return
    if not (path / FACTS).exists():
        raise UserError(
            f"--output={path} is not empty and no folder of weights (it has no "
            f"{FACTS}): take another one."
        )
    if not overwrite:
        raise UserError(f"--output={path} is not empty; --overwrite replaces it.")


def write_folder(
    path: Path,
    variables: Mapping[str, Any],
    facts: Mapping[str, Any],
    *,
    overwrite: bool,
) -> None:
    """Writes {"params", "batch_stats"} as Orbax has it, and `facts` beside them.

    Raises:
      UserError: as `check_folder`, or the disk cannot be written.
    """
    check_folder(path, overwrite=overwrite)
    arrays = flatten_dict(variables, sep="/")
    with _replacing(path) as new:
        new.mkdir()
        with ocp.PyTreeCheckpointer() as checkpointer:
            checkpointer.save((new / VARIABLES).absolute(), dict(variables))
        text = json.dumps({**facts, "checksums": _checksums(arrays)}, indent=2)
        (new / FACTS).write_text(text + "\n", encoding="utf-8")


def check_file(path: Path, *, overwrite: bool) -> None:
    """Raises UserError unless a file of weights may be written at `path`."""
    if path.suffix != ".safetensors":
        raise UserError(f"--output={path} must be a .safetensors file.")
    if path.is_dir():
        raise UserError(f"--output={path} is a folder.")
    if path.exists() and not overwrite:
        raise UserError(f"--output={path} exists; --overwrite replaces it.")


def write_file(
    path: Path,
    state: Mapping[str, np.ndarray],
    facts: Mapping[str, str],
    *,
    overwrite: bool,
) -> None:
    """Writes a state dict, and `facts` into its header.

    Raises:
      UserError: as `check_file`, or the disk cannot be written.
    """
    check_file(path, overwrite=overwrite)
    with _replacing(path) as new:
        # PyTorch's own reader wants to know where the tensors come from.
        metadata = {"format": "pt", **facts}
        safetensors.numpy.save_file(dict(state), new, metadata=metadata)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A path beside `path`; what is written there takes its place, or nothing does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        yield new
        if path.is_dir():
            path.rename(old)
        new.replace(path)
    except Exception as error:
        for number in _DISK_ERRORS:
            # TensorStore and safetensors raise their own, with the system's words.
            reason = os.strerror(number)
            if getattr(error, "errno", None) == number or reason in str(error):
                raise UserError(f"cannot write {path}: {reason}.") from error
        raise
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        for rest in (new, old):
            if rest.is_dir():
                shutil.rmtree(rest, ignore_errors=True)
            else:
                rest.unlink(missing_ok=True)
