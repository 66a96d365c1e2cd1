"""Imports point one way: between the packages, and between the rooms of each, of which none is part of a cycle."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("strategies", "protocol", "parties", "deploy", "simulations")
FLOORS = (
    ("scenarios", "reports"),
    ("runs",),
    ("data",),
    ("evaluation",),
    ("workflows",),
    ("studies", "flower", "faults"),
    ("cli",),
    ("parley",),
)
"""Rooms of `simulations`, the lowest first; those on one floor do not import each other."""
PATHS = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]


def name_of(path: Path) -> str:
    """The dotted name of a module."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path) for path in PATHS}


def imported(source: str) -> set[str]:
    """Modules that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in MODULES else node.module for name in below}
    return names


IMPORTS = {name_of(path): imported(path.read_text()) for path in PATHS}


def room(module: str) -> str:
    """The sub-package that a module is in; a module of its package's own floor is a room of its own."""
    return ".".join(module.split(".")[:2])


def graph(layer: str) -> dict[str, set[str]]:
    """Which rooms of a package import which of its others; what is asked of the package itself belongs to no room."""
    edges: dict[str, set[str]] = {}
    for module, names in IMPORTS.items():
        if module.startswith(f"{layer}."):
            inside = {room(name) for name in names if name.startswith(f"{layer}.")}
            edges.setdefault(room(module), set()).update(inside - {room(module)})
    return edges


@pytest.mark.parametrize("module", sorted(IMPORTS))
def test_a_package_imports_only_packages_below_it(module: str) -> None:
    above = set(LAYERS[LAYERS.index(module.partition(".")[0]) + 1 :])
    assert not {name.partition(".")[0] for name in IMPORTS[module]} & above


@pytest.mark.parametrize("layer", LAYERS)
def test_no_room_is_part_of_a_cycle(layer: str) -> None:
    try:
        TopologicalSorter(graph(layer)).prepare()
    except CycleError as cycle:
        pytest.fail(f"{cycle.args[1]} import each other in a circle")


def test_rooms_of_simulations_import_only_lower_floors() -> None:
    floors = {f"simulations.{name}": number for number, names in enumerate(FLOORS) for name in names}
    edges = graph("simulations")
    assert edges.keys() == floors.keys()
    upward = [(above, name) for above in floors for name in edges[above] if floors.get(name, 9) >= floors[above]]
    assert upward == []


@pytest.mark.parametrize("path", sorted((ROOT / "strategies").rglob("*.py")), ids=lambda path: path.name)
def test_strategies_do_no_io_and_know_no_flower(path: Path) -> None:
    packages = {name.partition(".")[0] for name in IMPORTS[name_of(path)]}
    if path.name == "p3_files.py":  # from bytes to bytes, but jpeglib takes names of files
        packages -= {"io", "pathlib"}
    assert not packages & {"flwr", "pathlib", "os", "io", "time", "random", "requests", "sqlalchemy"}


def daemons() -> Iterator[str]:
    return (name for name in sorted(MODULES) if name.startswith("deploy."))


def test_a_daemon_runs_without_simulations() -> None:
    """Its whole import closure, lazy imports of its own modules included, as Python resolves it."""
    lines = [f"import {name}" for name in daemons()]
    lines += ["import sys", "print([name for name in sys.modules if name.split('.')[0] == 'simulations'])"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_checks_see_what_they_look_for() -> None:
    inside = "def f():\n    from simulations.workflows.purchase.world import build\n    import parties.store"
    assert imported(inside) == {"simulations.workflows.purchase.world", "parties.store"}
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()
