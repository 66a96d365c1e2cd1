"""Named methods that a scenario compares on the same parties."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from pydantic import BeforeValidator

_NAME = re.compile(r"[a-z][a-z0-9-]*")


def built_in(usual: Mapping[str, Mapping[str, Any]]) -> BeforeValidator:
    """Return a validator that checks names of methods, and completes the settings of built-in ones."""
    return BeforeValidator(partial(_completed, usual=usual))


def _completed(methods: Any, usual: Mapping[str, Mapping[str, Any]]) -> Any:
    if not isinstance(methods, dict):
        return methods
    for name in methods:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"invalid method name {name!r}: use lower-case letters, digits and hyphens")
    return {
        name: {**usual.get(name, {}), **given} if isinstance(given, dict) else given for name, given in methods.items()
    }
