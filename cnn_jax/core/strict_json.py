"""Strict JSON (RFC 8259): numbers that JSON lacks become null."""

import json
import math
from typing import Any


def dumps(value: Any, indent: int | None = None) -> str:
    """Returns the value as JSON (RFC 8259); NaN and infinities become null."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
