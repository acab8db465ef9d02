"""Packages that one feature alone needs. Each is in an extra of this package."""

import importlib
import importlib.util
import sys
from types import ModuleType

from cnn_jax.core.errors import UserError


def check(module: str, extra: str, what: str) -> None:
    """Raises UserError, which names the extra, unless a module is installed.

    Args:
      module: of the package that the extra brings; it is not imported.
      extra: as setup.cfg calls it: "video".
      what: needs the package: "clip a.mp4".
    """
    package = module.partition(".")[0]
    if not sys.modules.get(package) and importlib.util.find_spec(package) is None:
        raise UserError(
            f"{what} needs the package {package}: pip install 'cnn_jax[{extra}]'."
        )


def need(module: str, extra: str, what: str) -> ModuleType:
    """Returns the module, imported.

    Raises:
      UserError: it is not installed (see `check`), or cannot be imported.
    """
    check(module, extra, what)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{what} needs {module}, which is installed but cannot be imported: "
            f"{error}. Install it again: pip install --force-reinstall "
            f"'cnn_jax[{extra}]'."
        ) from error
