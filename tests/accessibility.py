"""Pages checked by axe-core in a real browser: on wide and narrow screens, in light and dark colours."""

import json
import os
from pathlib import Path

import pytest
from browser import Tab

WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")

_AUDIT = """
axe.run().then(found => JSON.stringify(found.violations.map(
  rule => `${rule.id}: ${rule.help}: ${rule.nodes.map(node => node.html.slice(0, 120)).join(" | ")}`)))
"""


def axe_core() -> str:
    """Return the source of axe-core, or skip the test where it is not installed.

    The environment variable ``AXE_CORE`` names ``axe.min.js``; else it is what ``npm install axe-core`` puts into
    ``node_modules/axe-core/``, here or in a folder above.
    """
    here = Path(__file__).resolve()
    installed = (folder / "node_modules" / "axe-core" / "axe.min.js" for folder in here.parents)
    named = os.environ.get("AXE_CORE")
    found = Path(named) if named else next(filter(Path.is_file, installed), None)
    if found is None:
        pytest.skip("no axe-core here to check pages with: run npm install axe-core, or set AXE_CORE to axe.min.js")
    return found.read_text(encoding="utf-8")


def faults(tab: Tab, page: Path, script: str = "") -> list[str]:
    """Return what is wrong with a page: violations of axe-core's rules, and pages wider than the screen.

    Args:
        script: JavaScript to run first, for pages that show one part after another.
    """
    source, found = axe_core(), []
    for width in WIDTHS:
        for scheme in SCHEMES:
            tab.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            tab.open(page, width, 900, mobile=width < 1000)
            tab.value(f"document.querySelectorAll('details').forEach(each => each.open = true); {script}; null")
            tab.value(f"{source}; null")
            found += [f"{width}, {scheme}: {each}" for each in json.loads(tab.promised(_AUDIT))]
            if tab.value("document.documentElement.scrollWidth > innerWidth"):
                found.append(f"{width}, {scheme}: the page is wider than the screen")
    return found
