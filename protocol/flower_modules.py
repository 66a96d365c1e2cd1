"""The modules of a Flower app, some of which may be called like modules that are here already."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from protocol.compute.ray_cluster import PACKAGES


class AppModules:
    """What imports find while an app's code runs.

    An app may have a package called ``strategies``, as Parley has. Both keep their own: inside `inside` the app's
    directory comes first, and its names stand for its modules; outside, and in `outside`, they stand for Parley's.
    Modules are exchanged for the whole process, so code of an app that runs in threads beside its ServerApp finds its
    modules only if it imports them before the ServerApp asks nodes.

    Attributes:
        names: The app's own names, of modules that are here already.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.names = frozenset(name for name in (*PACKAGES, *_loaded()) if _owns(directory, name))
        self._away: dict[str, ModuleType] = {}
        self._is_inside = False

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Let imports find the app's modules."""
        with self._seen(from_inside=True):
            yield

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Let imports find Parley's modules, in what the app calls."""
        with self._seen(from_inside=False):
            yield

    @contextmanager
    def _seen(self, *, from_inside: bool) -> Iterator[None]:
        if not self.names or self._is_inside is from_inside:
            yield
            return
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        here = [name for name in list(sys.modules) if name.partition(".")[0] in self.names]
        taken = {name: sys.modules.pop(name) for name in here}
        sys.modules.update(self._away)
        self._away = taken
        self._is_inside = not self._is_inside
        if self._is_inside:
            sys.path.insert(0, str(self._directory))
        else:
            sys.path.remove(str(self._directory))


@cache
def app_modules(directory: Path) -> AppModules:
    """Return the modules of the app in a directory, the same ones each time."""
    return AppModules(directory)


def _loaded() -> Iterator[str]:
    """Yield modules that were loaded from a folder of somebody's own, neither Python's nor installed."""
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if "." not in name and name not in sys.stdlib_module_names and path and "-packages" not in path:
            yield name


def _owns(directory: Path, name: str) -> bool:
    """Whether a directory has a module or package of this name, which is not the one that is here already."""
    package = directory / name
    if not ((directory / f"{name}.py").is_file() or any(package.rglob("*.py"))):
        return False
    here = getattr(sys.modules.get(name), "__file__", None) or _origin(name)
    return here is None or not Path(here).resolve().is_relative_to(directory)


def _origin(name: str) -> str | None:
    spec = find_spec(name)
    return spec.origin if spec else None
