"""The teacher of a run: a trained run whose outputs the run's network learns."""

from pathlib import Path

from cnn_jax.core import names
from cnn_jax.core.errors import UserError
from cnn_jax.models import outputs
from cnn_jax.runs import config_json, trained
from cnn_jax.runs.config_json import Saved
from cnn_jax.training import setup
from cnn_jax.training.config import hash_of
from cnn_jax.training.setup import Network
from cnn_jax.training.teaching import Teacher

KEY = "config.task.teacher"


def of(network: Network, saved: Saved | None = None) -> Teacher | None:
    """Returns the teacher of a run; None if the run's task has no teacher.

    Args:
      network: the network that learns from the teacher.
      saved: the content of the run's config.json, if the run resumes.

    Raises:
      UserError: the folder of the teacher is not set, or holds no trained run; the
        teacher does not fit the network; or the teacher is not the one with which the
        run began.
    """
    place = network.task.teacher
    if place is None:
        return None
    if not place:
        raise UserError(f"{KEY} is not set: set it to the folder of a trained run.")
    run = config_json.read(Path(place))
    teacher = setup.network(run.config, run.dataset)
    _check(place, teacher, network)
    step, variables = trained.variables_of(run, teacher, None)
    facts = {"config_hash": hash_of(run.config), "step": step}
    if saved and (known := saved.content.get("teacher")) not in (None, facts):
        raise UserError(
            f"{KEY}={place} has changed since the run in {saved.workdir} began: it was "
            f"{known}, and is {facts}. Restore the teacher, or take another --workdir."
        )
    return Teacher(teacher.model, variables, teacher.normalize, facts)


def _check(place: str, teacher: Network, network: Network) -> None:
    """Raises `UserError` unless the teacher can teach the network.

    Args:
      place: the folder of the teacher's run, for errors.
      teacher: the teacher.
      network: the network that learns from it.
    """
    ours, theirs = (
        {
            "image shape": each.image_shape,
            "classes": tuple(map(names.key, each.task.classes)),
            "output kind": outputs.output_kind(each.model),
        }
        for each in (network, teacher)
    )
    for name, value in theirs.items():
        if value != ours[name]:
            raise UserError(
                f"{KEY}={place} has the {name} {value}, and this run has {ours[name]}: "
                "both must be the same. Take another teacher."
            )
