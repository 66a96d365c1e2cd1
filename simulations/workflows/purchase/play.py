"""Puts the parties of a world on a grid and lets the cloud drive the workflow."""

from collections.abc import Callable

from flwr.app import Context, RecordDict
from flwr.serverapp import Grid

from parties.party import Memory
from parties.purchase.cloud import ARBITERS, Cloud
from parties.purchase.record import PurchaseRecord
from parties.purchase.terms import COIN, terms_of
from parties.purchase.workflow import Purchase
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID, task_identity
from protocol.grids import Envelope, LocalGrid, ObservedGrid
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault
from simulations.runs.grids import OpenGrid
from simulations.runs.seeding import secret
from simulations.workflows.purchase.scenario import PurchaseScenario
from simulations.workflows.purchase.world import World
from strategies.features.featurizer import Featurizer

RUN_ID = 1


def play(
    world: World,
    cloud: Cloud,
    observe: Callable[[Envelope], None] = lambda envelope: None,
    on_step: Callable[[int], None] = lambda number: None,
    meddle: Callable[[Grid], Grid] = lambda grid: grid,
    open_grid: OpenGrid = LocalGrid,
    carry: Callable[[Grid], Grid] = lambda grid: grid,
) -> PurchaseRecord:
    """Play one purchase: the buyer is the first node, the sellers follow.

    Parameters
    ----------
    world : World
        The parties.
    cloud : Cloud
        The broker.
    observe : callable
        Told of every message.
    on_step : callable
        Told the number of each step as it begins.
    meddle : callable
        Puts a dishonest cloud's hands between the cloud's program and the wire.
    open_grid : callable
        Makes the grid of the parties' apps.
    carry : callable
        Puts phones and their links around the grid (`Phones.around`).

    Raises
    ------
    PurchaseFailed
        When the purchase could not even begin.
    """
    apps = [world.buyer.client_app(), *(held.party.client_app() for held in world.sellers)]
    records: list[PurchaseRecord] = []

    def workflow(cloud: Cloud, grid: Grid) -> None:
        records.append(Purchase(cloud, grid, on_step).run())

    context = Context(run_id=RUN_ID, node_id=SERVER_NODE_ID, node_config={}, state=RecordDict(), run_config={})
    with open_grid(apps) as grid, task_identity(RUN_ID):
        cloud.server_app(workflow)(meddle(ObservedGrid(carry(grid), observe)), context)
        for node_id, held in enumerate(world.sellers, FIRST_NODE_ID + 1):
            if held.adversary is not None:
                held.party.memory = Memory(grid.state(node_id))
    return records[0]


def make_cloud(scenario: PurchaseScenario, featurizer: Featurizer, ledger: Ledger, vault: Vault) -> Cloud:
    """Return the cloud of a scenario; the buyer brings its budget and enough for bonds on all of it."""
    section = scenario.cloud
    terms = terms_of(section, featurizer)
    budget = round(scenario.buyer.budget * COIN)
    deposits = {"buyer": budget + round(budget * section.bond), "seller": round(scenario.sellers.deposit * COIN)}
    arbiter = ARBITERS[section.arbitration]
    return Cloud(secret(scenario.seed, "cloud"), terms, featurizer, ledger, vault, deposits, arbiter=arbiter)


def party_names(world: World) -> dict[int, str]:
    """Name every node as in ``messages.jsonl``."""
    sellers = {FIRST_NODE_ID + 1 + index: f"seller-{FIRST_NODE_ID + 1 + index}" for index in range(len(world.sellers))}
    return {SERVER_NODE_ID: "cloud", FIRST_NODE_ID: "buyer", **sellers}
