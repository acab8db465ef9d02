"""The label kinds: one class per image, boxes, masks and others, one file each."""

from cnn_jax.core import imports
from cnn_jax.core.errors import UserError
from cnn_jax.data.labels.boxes import BOXES
from cnn_jax.data.labels.kind import LabelKind
from cnn_jax.data.labels.multi_label import MULTI_LABEL
from cnn_jax.data.labels.one_class import CLASS
from cnn_jax.data.labels.picture import PICTURE
from cnn_jax.data.labels.pixels import PIXELS
from cnn_jax.data.labels.style import STYLE
from cnn_jax.data.labels.values import VALUES

KINDS: dict[str, LabelKind] = {
    kind.name: kind
    for kind in (CLASS, MULTI_LABEL, VALUES, PIXELS, BOXES, PICTURE, STYLE)
}


def find(name: str) -> LabelKind:
    """Returns a label kind.

    Args:
      name: the name of a built-in label kind, or the import path of a user's label
        kind.

    Raises:
      UserError: there is no such label kind.
    """
    found = imports.find("label kind", name, KINDS)
    if not isinstance(found, LabelKind):
        raise UserError(
            f"label kind '{name}' is {found!r}; it must be an instance of "
            "cnn_jax.data.labels.kind.LabelKind."
        )
    return found
