"""All that a scenario lets the cloud do with others, from before the purchase to the report on it."""

from collections.abc import Sequence
from dataclasses import replace

from parties.adversaries.substitution import KeySubstitution
from parties.purchase.cloud import Cloud
from parties.purchase.record import PurchaseRecord
from protocol.exchange import Exchange
from simulations.reports.model import Learned
from simulations.runs.seeding import secret
from simulations.runs.views import View
from simulations.workflows.purchase.collusion.favours import Favouring, favoured, friends
from simulations.workflows.purchase.collusion.linking import link, linked
from simulations.workflows.purchase.collusion.substituted import substituted
from simulations.workflows.purchase.scenario import PurchaseScenario
from simulations.workflows.purchase.scoring import ScoredPurchase
from simulations.workflows.purchase.world import PurchaseWorld


class Schemes:
    """The schemes of one purchase; an honest cloud has none.

    Args:
        scenario: Says which.
        world: Where the cloud's friends are.
        cloud: What it would be if it were honest.

    Attributes:
        cloud: What it is.
    """

    def __init__(self, scenario: PurchaseScenario, world: PurchaseWorld, cloud: Cloud) -> None:
        played = scenario.collusion
        self._pools = "cloud-buyer" in played
        self._own_keys = secret(scenario.seed, "substitution") if "key-substitution" in played else None
        self._substitution: KeySubstitution | None = None
        self._favouring = Favouring(friends(scenario, world)) if "cloud-sellers" in played else None
        self.cloud = cloud if self._favouring is None else replace(cloud, auctioneer=self._favouring)

    def exchange(self, honest: Exchange) -> Exchange:
        """Put the cloud's hands between its program and the parties."""
        if self._own_keys is None:
            return honest
        cloud = self.cloud
        self._substitution = KeySubstitution(honest, self._own_keys, cloud.identity, cloud.vault)
        return self._substitution

    def reveal(self, record: PurchaseRecord) -> None:
        """Put into the record what really happened."""
        if self._substitution is not None:
            self._substitution.reveal(record)

    def learned(
        self, lines: Sequence[Learned], scored: ScoredPurchase, cloud_view: View, buyer_view: View
    ) -> list[Learned]:
        """Say what the schemes came to, beside what each party learned anyway."""
        told = list(lines)
        if self._substitution is not None:
            opened = substituted(self._substitution, scored.record)
            told = [opened if (line.observer, line.what) == (opened.observer, opened.what) else line for line in told]
        if self._pools:
            told.append(linked(link(cloud_view, buyer_view)))
        if self._favouring is not None:
            told += favoured(self._favouring, scored)
        return told
