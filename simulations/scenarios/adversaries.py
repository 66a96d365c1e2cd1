"""Ways to cheat from a file of the user's own, beside the built-in ones."""

import importlib.util
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from parties.adversaries import ADVERSARIES, Adversary, declared
from protocol.errors import BadInput
from simulations.scenarios.base import Mix


def cheats_among(count: int, mixes: Mapping[str, Mix], draws: np.random.Generator) -> dict[int, str]:
    """Choose disjoint groups of parties for the cheats of a scenario, drawn ones as many as come up.

    Examples
    --------
    >>> sorted(cheats_among(4, {"idle": Mix(share=0.5), "loud": Mix(share=0.25)}, np.random.default_rng(1)).values())
    ['idle', 'idle', 'loud']
    """
    order = iter(draws.permutation(count).tolist())
    chosen: dict[int, str] = {}
    for name, mix in mixes.items():
        wanted = draws.binomial(count, mix.share) if mix.drawn else round(mix.share * count)
        chosen |= {number: name for _, number in zip(range(wanted), order, strict=False)}
    return chosen


def known_adversaries(path: Path | None = None) -> dict[str, Adversary]:
    """Return the built-in adversaries and those that a Python file declares, by name.

    The file is imported: it is code, and it runs.

    Raises
    ------
    BadInput
        When there is no such file, it cannot be imported, declares none, or takes a built-in name.
    """
    if path is None:
        return dict(ADVERSARIES)
    spec = importlib.util.spec_from_file_location(f"adversaries_of_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise BadInput(f"--adversaries: {path} is not a Python file; give one that declares adversaries")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BadInput(f"--adversaries: {path}{_line(error, path)}: {type(error).__name__}: {error}") from error
    found = declared(vars(module))
    own = {name: cheat for name, cheat in found.items() if ADVERSARIES.get(name) is not cheat}
    if not own:
        raise BadInput(f"--adversaries: {path} declares none; put @adversary(...) on a class or a function in it")
    if taken := sorted(own.keys() & ADVERSARIES.keys()):
        raise BadInput(f"--adversaries: {path} declares {taken[0]!r}, which is the name of a built-in one")
    return ADVERSARIES | own


def _line(error: Exception, path: Path) -> str:
    """Say which line of the file an error comes from."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""
