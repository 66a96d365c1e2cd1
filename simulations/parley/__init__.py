"""Run, deploy and attack multi-party protocols over private images, from Python.

`run` plays a scenario and returns its report::

    import parley

    report = parley.run("purchase", seed=7, settings={"buyer.budget": 20})
    report.outcome.precision
    report.to_frame()

`compare` plays ways of sharing on one cohort, and says what each is good for and leaks::

    parley.compare(parley.load_comparison("quick", seeds=1)).to_frame()

Parties that cheat extend `Seller`, `Buyer`, `Entity`, `Participant`, `Publisher` or `Client`, and are declared with
`adversary`. A rule that selects and pays is a function from a `Market` to an `Award`, declared with `mechanism`. Every
mistake that a user can fix is a `UserError` with one sentence. What is named here is imported when it is first used, so
that ``import parley`` is quick.
"""

import os
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parties.adversaries import adversary
    from parties.crowdsource.participant import Participant
    from parties.federate.client import Client
    from parties.party import step
    from parties.pool.entity import Entity
    from parties.publish.publisher import Publisher
    from parties.purchase.buyer import Buyer
    from parties.purchase.cloud import Cloud
    from parties.purchase.seller import Seller
    from protocol.errors import UserError
    from simulations.scenarios.base import Scenario
    from strategies.mechanisms import Award, Market, mechanism

    from .comparing import compare, load_comparison
    from .report import Report
    from .running import load, run

    __version__: str

__all__ = [
    "Award",
    "Buyer",
    "Client",
    "Cloud",
    "Entity",
    "Market",
    "Participant",
    "Publisher",
    "Report",
    "Scenario",
    "Seller",
    "UserError",
    "adversary",
    "compare",
    "load",
    "load_comparison",
    "mechanism",
    "run",
    "step",
]

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")

_HOMES = {
    "Award": "strategies.mechanisms",
    "Buyer": "parties.purchase.buyer",
    "Client": "parties.federate.client",
    "Cloud": "parties.purchase.cloud",
    "Entity": "parties.pool.entity",
    "Market": "strategies.mechanisms",
    "Participant": "parties.crowdsource.participant",
    "Publisher": "parties.publish.publisher",
    "Report": ".report",
    "Scenario": "simulations.scenarios.base",
    "Seller": "parties.purchase.seller",
    "UserError": "protocol.errors",
    "adversary": "parties.adversaries",
    "compare": ".comparing",
    "load_comparison": ".comparing",
    "load": ".running",
    "mechanism": "strategies.mechanisms",
    "run": ".running",
    "step": "parties.party",
}


def _check_packages() -> None:
    """Raise `ImportError` where somebody's own package has the name of one of Parley's, and comes first."""
    for name in ("strategies", "protocol", "parties", "deploy", "simulations"):
        spec = find_spec(name)
        folder = Path(spec.origin).resolve().parent if spec is not None and spec.origin else None
        if folder is None or folder.parent not in Path(__file__).resolve().parents:
            raise ImportError(
                f"{folder or name} hides Parley's package {name}; rename it, or start from another folder"
            )


_check_packages()


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("parley")
    if name not in _HOMES:
        raise AttributeError(f"module 'parley' has no attribute {name!r}")
    found = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
