"""JSON for people and their programs: numbers that JSON lacks are null."""

import json
import math
from typing import Any


def dumps(value: Any, indent: int | None = None) -> str:
    """The value as JSON (RFC 8259), in which NaN and infinities become null."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
