"""The notes that a checkpoint keeps beside the state, with a checksum.

Orbax stores the notes as JSON without a checksum, so a flipped bit would go unnoticed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cnn_jax.core import records

FILE = Path("progress", "metadata")  # below the folder of a step


class Notes(NamedTuple):
    """The notes beside the state of a step.

    Attributes:
      progress: the progress of the run; see `Progress.saved`.
      checksums: the CRC-32 of each leaf of the state, by path.
      scores: the scores of the step's evaluation; {} without an evaluation; None in old
        checkpoints, where Orbax alone keeps the scores.
    """

    progress: dict[str, Any]
    checksums: dict[str, int]
    scores: dict[str, float] | None


def sealed(
    progress: Mapping[str, Any],
    checksums: Mapping[str, int],
    scores: Mapping[str, float],
) -> dict[str, Any]:
    """Returns the notes with their checksum, as they are stored."""
    content = {**progress, "checksums": dict(checksums), "scores": dict(scores)}
    return content | {"checksum": records.checksum(content)}


def read(step: Path) -> Notes:
    """Returns the notes in the folder of a step.

    Raises:
      FileNotFoundError: if there are no notes; the step may be half deleted.
      Damaged: if the notes differ from what was written.
    """
    content = records.read_json(step / FILE)
    whole = isinstance(content, dict) and isinstance(content.get("checksums"), dict)
    # Notes of an old version have neither key. If one is missing, they are damaged.
    if whole and {"checksum", "scores"} & content.keys():
        known = content.pop("checksum", None)
        whole = "scores" in content and known == records.checksum(content)
    if not whole:
        raise records.Damaged(f"{step / FILE} is damaged (its checksum is wrong).")
    checksums, scores = content.pop("checksums"), content.pop("scores", None)
    return Notes(content, checksums, scores)
