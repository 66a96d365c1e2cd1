"""The phones of a purchase: who has which, what a step takes on it, and the grid that plays it in virtual time.

Costs are declared, never measured here, so that a run comes out the same on every machine. They are those of the
paper's phone (CrowdBuy, section VI.E), which runs VGG-16, whatever featurizer the run itself uses.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from flwr.app import Message
from flwr.serverapp import Grid
from numpy.typing import NDArray

from parties.purchase.cloud import Cloud
from protocol.grids import Nodes, TimedGrid, VirtualClock
from protocol.messages.purchase import Privacy
from simulations.data.phone_models import PHONES, PhoneModel
from simulations.runs.seeding import numpy_generator, secret
from simulations.workflows.purchase.scenario import PurchaseScenario
from simulations.workflows.purchase.world import PurchaseWorld

FC8, PLANE, SIGNATURE = 1.0, 0.405, 0.058
"""Seconds for a picture's fc8 feature, from there to two numbers, and for a MinHash signature: section VI.E."""
SEALING, SIGNING, MESSAGE = 0.010, 0.002, 0.005
"""Seconds to seal or open a picture, to commit to and sign a bid, and to read any message. Assumptions."""
MODEL_MEGABYTES = 4 * 138_357_544 / 1e6
"""VGG-16: 138,357,544 parameters of 4 bytes."""
BUYER_SPEED, BUYER_LINK = 10.0, 100e6 / 8
"""The buyer's machine: times as fast as the paper's phone; bytes per second each way. Assumptions."""


class Phones:
    """The phones of a world's sellers, and the buyer's machine.

    Args:
        scenario: Which phones, and what their links are like.

    Attributes:
        clock: For the cloud to set its deadlines by.
        names: The phone model of each seller.
    """

    def __init__(self, scenario: PurchaseScenario, world: PurchaseWorld) -> None:
        self.clock = VirtualClock()
        self.names = deal(scenario.phones.mix, len(world.sellers), numpy_generator(scenario.seed, "phones"))
        self._section = scenario.phones
        self._seed = int.from_bytes(secret(scenario.seed, "links")[:8])
        self._albums = [len(held.party.album) for held in world.sellers]
        self._samples = len(world.samples)
        self._checked = scenario.buyer.checked
        self._picture = FC8 if scenario.cloud.privacy is Privacy.BASIC else FC8 + PLANE
        self._bid = SIGNING + (SIGNATURE if scenario.cloud.privacy is Privacy.LEVEL2 else 0.0)
        self._grid: TimedGrid | None = None

    @property
    def models(self) -> list[PhoneModel]:
        """The phone of each seller."""
        return [PHONES[name] for name in self.names]

    @property
    def grid(self) -> TimedGrid:
        """The grid that the phones were put on; there is one once `around` was called."""
        assert self._grid is not None
        return self._grid

    def tell_time(self, cloud: Cloud) -> Cloud:
        """Return a cloud that goes by virtual time, with the patience of the scenario."""
        return replace(cloud, clock=self.clock, patience=self._section.patience)

    def around(self, grid: Grid) -> Grid:
        """Put the phones on a grid: its first node is the buyer, the sellers follow."""
        link = self._section.link
        self._grid = TimedGrid(grid, self._nodes(), self._work, self._seed, link.give_up, self.clock)
        return self._grid

    def _nodes(self) -> Nodes:
        link, models = self._section.link, self.models

        def column(of_buyer: float, of_sellers: list[float]) -> NDArray[np.float64]:
            return np.array([of_buyer, *of_sellers], dtype=np.float64)

        return Nodes(
            speed=column(BUYER_SPEED, [model.speed for model in models]),
            uplink=column(BUYER_LINK, [model.uplink * 1e6 / 8 for model in models]),
            downlink=column(BUYER_LINK, [model.downlink * 1e6 / 8 for model in models]),
            latency=column(0.0, [model.latency for model in models]),
            delay=column(0.0, [link.delay] * len(models)),
            drop=column(0.0, [link.drop] * len(models)),
            duplicate=column(0.0, [link.duplicate] * len(models)),
            availability=column(1.0, [model.availability for model in models]),
            unable={"bid": np.array([False, *(model.memory < MODEL_MEGABYTES for model in models)])},
        )

    def _work(self, place: int, question: Message, answer: Message) -> float:
        """Return the seconds of a step on the paper's phone; near-duplicates are counted like other pictures."""
        step = question.metadata.message_type.partition(".")[2]
        if step == "bid":
            pictures = self._albums[place - 1] + self._samples
            return MESSAGE + pictures * self._picture + _count(answer, "bids") * self._bid
        if step == "deliver":
            return MESSAGE + SEALING
        if step == "verify":
            opened = _count(answer, "confirmation/accepted") + _count(answer, "confirmation/complaints")
            return MESSAGE + opened * SEALING + (self._samples + opened * self._checked) * self._picture
        return MESSAGE


def deal(mix: Mapping[str, float], count: int, generator: np.random.Generator) -> list[str]:
    """Deal out phone models in these shares, as exactly as whole phones allow.

    Examples:
        >>> sorted(deal({"paper": 0.5, "slow": 0.3, "fast": 0.2}, 10, np.random.default_rng(0)))
        ['fast', 'fast', 'paper', 'paper', 'paper', 'paper', 'paper', 'slow', 'slow', 'slow']
    """
    edges = np.rint(np.cumsum([0.0, *mix.values()]) * count).astype(int)
    edges[-1] = count
    dealt = np.repeat(list(mix), np.diff(edges))
    return [str(name) for name in generator.permutation(dealt)]


def _count(message: Message, field: str) -> int:
    """Return how many items a list in a message has, 0 where there is no such list."""
    fields: Any = message.content.get("fields", {}) if message.has_content() else {}
    count, items = fields.get(f"{field}/#"), fields.get(field)
    return count if isinstance(count, int) else len(items) if isinstance(items, list) else 0
