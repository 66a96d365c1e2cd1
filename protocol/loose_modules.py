"""Modules that another process of this program would not find by their names."""

import sys
from collections.abc import Iterator
from types import ModuleType


def loose_modules() -> Iterator[ModuleType]:
    """Yield modules that were loaded from a file and lie on no path, such as a user's own adversaries.

    What they define has to travel as it is to the processes of this program.
    """
    for name, module in list(sys.modules.items()):
        if "." in name or name == "__main__" or not getattr(module, "__file__", None):
            continue
        if not any(finder.find_spec(name, None) for finder in sys.meta_path):
            yield module
