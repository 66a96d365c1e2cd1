"""Puts the parties of a world on a grid and lets the cloud drive the workflow."""

from collections.abc import Callable

from flwr.app import RecordDict
from flwr.serverapp import Grid

from parties.party import Memory
from parties.purchase.cloud import ARBITERS, Cloud
from parties.purchase.record import PurchaseRecord
from parties.purchase.terms import COIN, terms_of
from parties.purchase.workflow import Purchase
from parties.workflow import OnStep, any_step
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID, task_identity
from protocol.grids import Envelope, LocalGrid, ObservedGrid
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault
from simulations.runs.grids import OpenGrid
from simulations.runs.seeding import secret
from simulations.runs.session import RUN_ID
from simulations.workflows.purchase.scenario import PurchaseScenario
from simulations.workflows.purchase.world import PurchaseWorld
from strategies.features.featurizer import Featurizer
from strategies.features.planar_laplace import noise_reach
from strategies.mechanisms import MECHANISMS


def play(
    world: PurchaseWorld,
    cloud: Cloud,
    observe: Callable[[Envelope], None] = lambda envelope: None,
    on_step: OnStep = any_step,
    meddle: Callable[[Exchange], Exchange] = lambda exchange: exchange,
    open_grid: OpenGrid = LocalGrid,
    carry: Callable[[Grid], Grid] = lambda grid: grid,
    drives: type[Purchase] = Purchase,
) -> PurchaseRecord:
    """Play one purchase: the buyer is the first node, the sellers follow.

    Args:
        world: The parties.
        cloud: The broker.
        observe: Told of every message.
        on_step: Told of each step as it begins.
        meddle: Puts a dishonest cloud's hands between the cloud's program and the parties.
        open_grid: Makes the grid of the parties' apps.
        drives: The workflow, of an honest cloud or a cheat.
        carry: Puts phones and their links around the grid (`Phones.around`).

    Raises:
        WorkflowFailed: When the purchase could not even begin.
    """
    with open_grid(world.apps) as grid, task_identity(RUN_ID):
        exchange = meddle(Exchange(ObservedGrid(carry(grid), observe), cloud.clock))
        record = drives(cloud, exchange, on_step).run()
        if any(held.adversary for held in world.sellers):
            remember(world, grid.state)
    return record


def remember(world: PurchaseWorld, state: Callable[[int], RecordDict]) -> None:
    """Give cheating sellers of the world what they kept on the grid, for the report."""
    for node_id, held in enumerate(world.sellers, FIRST_NODE_ID + 1):
        if held.adversary is not None:
            held.party.memory = Memory(state(node_id))


def make_cloud(scenario: PurchaseScenario, featurizer: Featurizer, ledger: Ledger, vault: Vault) -> Cloud:
    """Return the cloud of a scenario; the buyer brings its budget and enough for bonds on all of it."""
    section = scenario.cloud
    terms = terms_of(section, featurizer)
    if (epsilon := scenario.sellers.noise_before_hashing) is not None:
        terms = terms.model_copy(update={"displacement": noise_reach(epsilon)})
    budget = round(scenario.buyer.budget * COIN)
    deposits = {"buyer": budget + round(budget * section.bond), "seller": round(scenario.sellers.deposit * COIN)}
    arbiter = ARBITERS[section.arbitration]
    rule = scenario.buyer.rule
    return Cloud(
        secret(scenario.seed, "cloud"),
        terms,
        featurizer,
        ledger,
        vault,
        deposits,
        arbiter=arbiter,
        mechanisms={**MECHANISMS, rule.name: rule},
    )
