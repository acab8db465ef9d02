"""What a checkpoint keeps beside the state, with a checksum of all of it.

Orbax stores the notes as JSON, and so each flipped bit would be believed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cnn_jax.core import records

FILE = Path("progress", "metadata")  # in the folder of a step


class Notes(NamedTuple):
    """What stands beside the state of a step.

    Attributes:
      progress: how far the run has come.
      checksums: of the leaves of the state, by path.
      scores: the step's evaluation, {} without one; None in checkpoints of versions
        that left the scores to Orbax.
    """

    progress: dict[str, Any]
    checksums: dict[str, int]
    scores: dict[str, float] | None


def sealed(
    progress: Mapping[str, Any],
    checksums: Mapping[str, int],
    scores: Mapping[str, float],
) -> dict[str, Any]:
    """Returns the notes as they are stored."""
    content = {**progress, "checksums": dict(checksums), "scores": dict(scores)}
    return content | {"checksum": records.checksum(content)}


def read(step: Path) -> Notes:
    """Returns the notes in the folder of a step.

    Raises:
      FileNotFoundError: there are none; the step may be half deleted.
      Damaged: the notes are not what was written.
    """
    content = records.read_json(step / FILE)
    whole = isinstance(content, dict) and isinstance(content.get("checksums"), dict)
    # One damaged key of the two does not make the notes those of an old version.
    if whole and {"checksum", "scores"} & content.keys():
        known = content.pop("checksum", None)
        whole = "scores" in content and known == records.checksum(content)
    if not whole:
        raise records.Damaged(f"{step / FILE} is damaged (its checksum is wrong).")
    checksums, scores = content.pop("checksums"), content.pop("scores", None)
    return Notes(content, checksums, scores)
