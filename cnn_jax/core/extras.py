"""Optional packages that only one feature needs, each in an extra of this package."""

import importlib
import importlib.util
import sys
from types import ModuleType

from cnn_jax.core.errors import UserError


def check(module: str, extra: str, what: str) -> None:
    """Raises `UserError` if a module is not installed; the error names the extra.

    Args:
      module: the module's name; it is not imported.
      extra: the extra's name in setup.cfg, such as "video".
      what: the thing that needs the module, such as "clip a.mp4".
    """
    package = module.partition(".")[0]
    if not sys.modules.get(package) and importlib.util.find_spec(package) is None:
        raise UserError(
            f"{what} needs the package {package}, which is not installed. Install it: "
            f"pip install 'cnn_jax[{extra}]'."
        )


def need(module: str, extra: str, what: str) -> ModuleType:
    """Imports and returns a module; see `check` for the arguments.

    Raises:
      UserError: the module is not installed, or it cannot be imported.
    """
    check(module, extra, what)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"{what} needs the module {module}, which is installed but cannot be "
            f"imported: {error}. Install the package again: pip install "
            f"--force-reinstall 'cnn_jax[{extra}]'."
        ) from error
