"""Imports point one way only: strategies <- protocol <- parties <- simulations."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("strategies", "protocol", "parties", "simulations")
MODULES = [(layer, path) for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]


def imported(source: str) -> set[str]:
    """Top-level packages that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize(("layer", "path"), MODULES, ids=[str(path.relative_to(ROOT)) for _, path in MODULES])
def test_a_layer_imports_only_layers_below_it(layer: str, path: Path) -> None:
    above = set(LAYERS[LAYERS.index(layer) + 1 :])
    assert not imported(path.read_text()) & above


@pytest.mark.parametrize("path", sorted((ROOT / "strategies").rglob("*.py")), ids=lambda path: path.name)
def test_strategies_do_no_io_and_know_no_flower(path: Path) -> None:
    assert not imported(path.read_text()) & {"flwr", "pathlib", "os", "io", "time", "random", "requests", "sqlalchemy"}


def test_the_check_sees_an_upward_import() -> None:
    assert imported("def f():\n    from simulations.purchase.world import build") == {"simulations"}
