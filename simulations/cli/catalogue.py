"""Everything that has a name, with one line each."""

from collections.abc import Mapping

from parties.adversaries import ADVERSARIES, Adversary
from parties.featurizers import FEATURIZERS
from simulations.data import DATASETS
from simulations.scenarios.files import WORKFLOWS, packaged
from simulations.studies.benchmarks import BENCHMARKS
from simulations.studies.reproductions import REPRODUCTIONS
from simulations.workflows.purchase.phone_models import PHONES
from strategies.mechanisms import MECHANISMS


def catalogue(adversaries: Mapping[str, Adversary] = ADVERSARIES) -> dict[str, dict[str, str]]:
    """Return one line per named thing, by group."""
    return {
        "scenarios": packaged(),
        "workflows": WORKFLOWS,
        "mechanisms": {
            name: f"{', '.join(sorted(info.qualities))}: {info.description}" for name, info in MECHANISMS.items()
        },
        "data sets": {name: info.description for name, info in DATASETS.items()},
        "featurizers": {name: info.description for name, info in FEATURIZERS.items()},
        "phones": {name: phone.description for name, phone in PHONES.items()},
        "adversaries": {name: _said(kind) for name, kind in adversaries.items()},
        "benchmarks": BENCHMARKS,
        "reproductions": REPRODUCTIONS,
    }


def _said(cheat: Adversary) -> str:
    """Say who cheats how, and what it knows that others in its place do not."""
    beyond = "" if cheat.knowledge.startswith("nothing") else f" It knows {cheat.knowledge}."
    return f"{cheat.role}: {cheat.summary}{beyond}"
