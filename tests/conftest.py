"""Worlds to play in."""

import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from accessibility import axe_core, faults
from browser import chromium
from hypothesis import settings
from joblib import cpu_count

from parties.featurizers import load_featurizer
from parties.purchase.buyer import Buyer
from parties.purchase.cloud import Cloud
from parties.purchase.offer import Offer
from parties.purchase.seller import Seller
from parties.purchase.workflow import Purchase
from protocol.grids import Envelope, LocalGrid
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault
from simulations.workflows.purchase.play import OpenGrid, make_cloud, play
from simulations.workflows.purchase.scenario import PurchaseScenario
from simulations.workflows.purchase.scoring import ScoredPurchase, score
from simulations.workflows.purchase.world import PurchaseWorld, build
from strategies.features.featurizer import Featurizer

collect_ignore = ["warm.py"]
"""It plays a purchase when it is imported, for the processes that others are forked from."""

torch.set_num_threads(1)
if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as in the background of a shell; tests interrupt what they start
    signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")


Command = Callable[..., subprocess.CompletedProcess[str]]
"""``parley``, as a function of the words after it."""


@pytest.fixture
def parley(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """The command in this process: what it prints and its exit code, without waiting for another one's imports."""
    from simulations.cli import main  # noqa: PLC0415 it sets the environment of those who need it

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["parley", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return subprocess.CompletedProcess(words, int(ended.value.code or 0), said.out, said.err)

    monkeypatch.chdir(tmp_path)
    stops = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield run
    for number, handler in stops.items():  # daemons change all of these
        signal.signal(number, handler)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def faults_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., list[str]]]:
    """A check of pages for accessibility; skips where there is no Chromium or no axe-core (`accessibility.faults`)."""
    axe_core()
    with chromium(tmp_path_factory.mktemp("accessibility")) as tab:
        yield partial(faults, tab)


def pytest_xdist_auto_num_workers() -> int:
    """Half as many again as cores: a third of the time, tests wait for processes that they have started."""
    cores = cpu_count()
    return cores + cores // 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that start Ray: they are long, and mostly wait."""
    items.sort(key=lambda item: not item.path.stem.startswith(("test_ray", "test_workshop")))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--crashes", type=int, default=5, help="random sequences of crashes to try (test_crashes.py)")
    parser.addoption("--kills", type=int, default=10, help="random sequences of killed processes (test_kills.py)")
    parser.addoption("--delivery", type=int, default=75, help="megabytes of the large delivery (test_kills.py)")


SMALL: dict[str, Any] = {
    "seed": 3,
    "buyer": {"budget": 12.0, "samples": {"count": 6, "classes": 2}},
    "sellers": {"count": 12, "noise": 0.25, "album": {"images": [2, 6]}},
}
"""A purchase of a second or two: a dozen sellers."""


def small(**changes: Any) -> PurchaseScenario:
    """The small scenario with some of its keys changed; sections are merged."""
    return PurchaseScenario.model_validate(merge(SMALL, changes))


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        inner = merged.get(key)
        merged[key] = merge(inner, value) if isinstance(value, dict) and isinstance(inner, dict) else value
    return merged


@pytest.fixture(scope="session")
def featurizer() -> Featurizer:
    return load_featurizer("small")


@dataclass(frozen=True)
class Played(ScoredPurchase):
    """A purchase that was played, with everything there is to know about it."""

    cloud: Cloud
    envelopes: list[Envelope]

    def by_outcome(self, outcome: str) -> list[Offer]:
        return [offer for offer in self.record.offers if offer.outcome == outcome]

    def profit(self, name: str) -> int:
        """What an account has more than it brought."""
        brought = sum(e.amount for e in self.ledger.entries() if e.account == name and e.memo == "deposit")
        return self.ledger.balance(name) - brought


Play = Callable[..., Played]


@pytest.fixture
def play_purchase(tmp_path: Path, featurizer: Featurizer) -> Play:
    """Play a scenario; roles, the world and the cloud may be replaced."""

    def run(
        scenario: PurchaseScenario,
        *,
        sellers: type[Seller] | None = None,
        buyer: type[Buyer] | None = None,
        change_cloud: Callable[[Cloud], Cloud] = lambda cloud: cloud,
        change_world: Callable[[PurchaseWorld], PurchaseWorld] = lambda world: world,
        open_grid: OpenGrid = LocalGrid,
        drives: type[Purchase] = Purchase,
    ) -> Played:
        world = change_world(build(scenario, featurizer, tmp_path / "bought"))
        if buyer is not None:
            world = replace(world, buyer=recast(world.buyer, buyer))
        if sellers is not None:
            world = replace(world, sellers=[replace(h, party=recast(h.party, sellers)) for h in world.sellers])
        ledger = Ledger()
        cloud = change_cloud(make_cloud(scenario, featurizer, ledger, Vault(str(tmp_path / "vault"))))
        envelopes: list[Envelope] = []
        record = play(world, cloud, envelopes.append, open_grid=open_grid, drives=drives)
        return Played(**vars(score(scenario, featurizer, world, record, ledger)), cloud=cloud, envelopes=envelopes)

    return run


def recast(party: Any, role: type[Any]) -> Any:
    """The same party with the manners of another class of its role."""
    other = object.__new__(role)
    other.__dict__.update(party.__dict__)
    return other
