"""Docstrings are in Google style, and types stay in the annotations."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("strategies", "protocol", "parties", "deploy", "simulations")
NAMED = re.compile(r" {4}\*{0,2}\w[\w, *]*?(?P<type> \([^:]*\))?(?P<space> ?):")


def flaws(source: str) -> Iterator[str]:
    """Yield what is not Google style in a module's docstrings, or states a type."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _flaws_of(inspect.cleandoc(ast.get_docstring(node) or "").split("\n"))


def _flaws_of(lines: list[str]) -> Iterator[str]:
    section = ""
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line and not line.startswith(" "):
            section = line
        if line and re.fullmatch(r"\s*-{3,}", following):
            yield f"{line}: underlined, as NumPy has it"
        elif section in ("Args:", "Attributes:") and (named := NAMED.match(line)):
            if named["type"]:
                yield f"{line.strip()}: a type"
            if named["space"]:
                yield f"{line.strip()}: a space before the colon"


def test_docstrings_are_in_google_style_without_types() -> None:
    found = {
        str(path.relative_to(ROOT)): flawed
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if (flawed := list(flaws(path.read_text())))
    }
    assert not found


def test_the_check_sees_numpy_sections_and_types() -> None:
    good = "Do.\n\nArgs:\n    a: (n, 2), lattice units: text that goes on\n        (see g): more.\n    b, c: Text."
    assert not list(flaws(f'"""{good}"""'))
    typed = "Do.\n\nAttributes:\n    a (int, optional): Text.\n    b : Text."
    assert list(flaws(f'"""{typed}"""')) == [
        "a (int, optional): Text.: a type",
        "b : Text.: a space before the colon",
    ]
    numpy = "Do.\n\nParameters\n----------\na : int\n    Text."
    assert list(flaws(f'def f(a):\n    """{numpy}"""')) == ["Parameters: underlined, as NumPy has it"]
