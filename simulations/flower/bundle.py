"""Parley as a Flower app: what ``flwr run .`` runs, in Flower's own runtimes.

The ServerApp is the cloud; each node is one party of the scenario that the run's configuration names,
which it builds from the seed and its partition: partition 0 is the buyer, the others are sellers.
"""

import logging
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from parties.featurizers import load_featurizer
from parties.party import Party
from protocol.errors import BadScenario, OutputExists
from protocol.grids.numbered import ROLL, STATE, NumberedGrid, tell_partition, tell_state
from protocol.storage.package import packaged_file
from simulations.runs.runner import run
from simulations.runs.seeding import secret
from simulations.scenarios.files import load
from simulations.workflows.purchase.report.model import PurchaseReport
from simulations.workflows.purchase.run import SIMULATION, Stage, play_purchase
from simulations.workflows.purchase.scenario import PurchaseScenario
from simulations.workflows.purchase.world import build

log = logging.getLogger("flwr")

server_app = ServerApp()


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """Conduct the purchase and write its report."""
    packaged_file("simulations/workflows/purchase/report/page.html")  # missed before the work, not after it
    numbered = NumberedGrid(grid)
    scenario = scenario_for(context.run_config, len(list(numbered.get_node_ids())))
    folder, store = _folders(context)
    if folder.exists():
        raise OutputExists(f"{folder} is already there: name another folder with --run-config 'out=\"FOLDER\"'")
    shutil.rmtree(store, ignore_errors=True)
    on_stage = replace(SIMULATION, play=partial(play_purchase, stage=Stage(numbered, store)))
    report = run(scenario, folder, lambda what, done, total: log.info(what), simulated=on_stage)
    assert isinstance(report, PurchaseReport)
    log.info(report.summary)
    log.info("outcome.digest: %s", report.outcome.digest)
    log.info("Report: %s", folder / "report.html")


class Node(ClientApp):
    """A node: it is whichever party of the scenario holds its partition."""

    def __call__(self, message: Message, context: Context) -> Message:
        """Let the party answer."""
        partition, partitions = (int(context.node_config[key]) for key in ("partition-id", "num-partitions"))
        _, store = _folders(context)
        config = context.run_config
        apps = _apps(str(config["scenario"]), str(config["settings"]), partitions, store)
        answer = {ROLL: tell_partition, STATE: tell_state}.get(message.metadata.message_type, apps[partition])
        return answer(message, context)


client_app = Node()


@lru_cache(maxsize=1)
def _apps(scenario: str, settings: str, nodes: int, store: Path) -> list[ClientApp]:
    """Build the parties of a scenario, as often as this process has to; nodes that are left over stand by."""
    torch.set_num_threads(1)  # sums are taken in the same order everywhere
    chosen = scenario_for({"scenario": scenario, "settings": settings}, nodes)
    featurizer = load_featurizer(chosen.cloud.featurizer, chosen.cloud.weights, chosen.cloud.calibration)
    world = build(chosen, featurizer, store)
    parties: list[Party] = [world.buyer, *(held.party for held in world.sellers)]
    standing_by = [Party(secret(chosen.seed, "standing by", index)) for index in range(len(parties), nodes)]
    return [party.client_app() for party in (*parties, *standing_by)]


def _folders(context: Context) -> tuple[Path, Path]:
    """Return the folder of a run's report and, beside it, that of what its buyer buys."""
    out = Path(str(context.run_config["out"])).expanduser().absolute()
    return out / f"purchase-{context.run_id}", out / f".purchase-{context.run_id}.bought"


def scenario_for(run_config: Mapping[str, Any], nodes: int) -> PurchaseScenario:
    """Read the scenario that a run's configuration names, with as many sellers as there are nodes beside the buyer.

    Args:
        run_config: ``scenario``: a name or a file; ``settings``: ``key=value`` as after ``parley run --set``, with
            spaces between.

    Raises:
        BadScenario: When there are less than two nodes, or the scenario cannot be read or is a sweep.
    """
    if nodes < 2:
        raise BadScenario("a purchase needs two nodes or more: a buyer and sellers")
    settings = [*shlex.split(str(run_config["settings"])), f"sellers.count={nodes - 1}", "grid=local"]
    scenario = load(str(run_config["scenario"]), settings)
    if not isinstance(scenario, PurchaseScenario):
        raise BadScenario(f"the Flower app plays purchases, this is workflow {scenario.workflow}: use `parley run`")
    if scenario.sweep is not None:
        raise BadScenario("a sweep is many purchases, and a run of the Flower app is one: use `parley run`")
    return scenario
