"""Python files of a user, each with the modules of its own folder.

A file is imported under a name that says where its folder is: this module's, the folder in hexadecimal, the file's own.
So another process of this machine imports it by that name alone, and files of different folders never get each other's
modules, whatever these are called.
"""

import builtins
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

__path__: list[str] = []
"""It holds modules, as a package does; `_Finder` finds them."""


def import_file(path: Path) -> ModuleType:
    """Import a file anew; it may import modules of its folder, except those called like modules of Python's own."""
    folder = package_of(path)
    for name in [name for name in sys.modules if name == folder or name.startswith(f"{folder}.")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    return importlib.import_module(f"{folder}.{path.stem}")


def package_of(path: Path) -> str:
    """Return the name of the package that stands for a file's folder."""
    return f"{__name__}.{os.fsencode(path.resolve().parent).hex()}"


class _Finder(MetaPathFinder):
    """Finds folders by the names that `package_of` gives them, and modules in them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module."""
        if not fullname.startswith(f"{__name__}."):
            return None
        folder, _, inner = fullname.removeprefix(f"{__name__}.").partition(".")
        if not inner:
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [os.fsdecode(bytes.fromhex(folder))]
            return spec
        found = PathFinder.find_spec(fullname, path, target)
        if found is not None and isinstance(found.loader, SourceFileLoader):
            found.loader = _Loader(found.loader.name, found.loader.path)
        return found


class _Loader(SourceFileLoader):
    """Loads a module that imports the modules of its folder first."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code."""
        folder = module.__name__.removeprefix(f"{__name__}.").partition(".")[0]
        module.__dict__["__builtins__"] = vars(builtins) | {"__import__": _Import(f"{__name__}.{folder}")}
        super().exec_module(module)


class _Import:
    """``__import__`` for the modules of one folder."""

    def __init__(self, package: str) -> None:
        self._package = package
        self._folder = Path(os.fsdecode(bytes.fromhex(package.rpartition(".")[2])))

    def __call__(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        top = name.partition(".")[0]
        if level or not self._has(top):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        found = importlib.import_module(f"{self._package}.{name}")
        if fromlist:
            return builtins.__import__(found.__name__, globals, locals, fromlist)
        return sys.modules[f"{self._package}.{top}"]

    def _has(self, name: str) -> bool:
        """Whether a module of this name is in the folder, and not what everybody gets under the name anyway."""
        if name in sys.stdlib_module_names:
            return False
        package = self._folder / name
        own = next((path for path in (package / "__init__.py", self._folder / f"{name}.py") if path.is_file()), None)
        if own is None:
            return any(package.glob("*.py")) and _origin(name) is None
        return _origin(name) != str(own)


def _origin(name: str) -> str | None:
    """Return the file that others import under a name."""
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if loaded is None:
        spec = find_spec(name)
        loaded = spec.origin if spec is not None else None
    return str(Path(loaded).resolve()) if loaded else None


sys.meta_path.insert(0, _Finder())
