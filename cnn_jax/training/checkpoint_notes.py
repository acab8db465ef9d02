"""The notes of a checkpoint: progress, scores and checksums, stored beside the state.

The notes contain a checksum of themselves. Orbax stores them as JSON without a
checksum, so a flipped bit would otherwise remain unnoticed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cnn_jax.core import records

FILE = Path("progress", "metadata")  # below the folder of a step


class Notes(NamedTuple):
    """The notes of a checkpoint.

    Attributes:
      progress: the progress of the run; see `Progress.saved`.
      checksums: the CRC-32 of each leaf of the state, by the leaf's path.
      scores: the scores of the evaluation at this step; {} if there was no evaluation;
        None in checkpoints of old versions, where only Orbax stores the scores.
    """

    progress: dict[str, Any]
    checksums: dict[str, int]
    scores: dict[str, float] | None


def sealed(
    progress: Mapping[str, Any],
    checksums: Mapping[str, int],
    scores: Mapping[str, float],
) -> dict[str, Any]:
    """Returns the notes as one dict for JSON, with a checksum of the notes.

    Args:
      progress: the progress of the run.
      checksums: the CRC-32 of each leaf of the state, by the leaf's path.
      scores: the scores of the evaluation; {} if there was no evaluation.
    """
    content = {**progress, "checksums": dict(checksums), "scores": dict(scores)}
    return content | {"checksum": records.checksum(content)}


def read(step: Path) -> Notes:
    """Returns the notes of a checkpoint.

    Args:
      step: the folder of the checkpoint.

    Raises:
      FileNotFoundError: if there are no notes, for example because the checkpoint was
        deleted only in part.
      Damaged: if the checksum of the notes is wrong.
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
