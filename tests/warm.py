"""Imported by the process that others are forked from (`forks`)."""

import tempfile
from pathlib import Path

from conftest import small

import deploy.buyer
import deploy.cloud
import deploy.processes
import deploy.seller  # noqa: F401
import simulations.cli  # noqa: F401
from parties.featurizers import load_featurizer
from protocol.grids import LocalGrid
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault
from simulations.workflows.purchase.play import make_cloud, play
from simulations.workflows.purchase.world import build

with tempfile.TemporaryDirectory() as folder:
    featurizer = load_featurizer("small")
    scenario = small(cloud={"privacy": "level2"})
    cloud = make_cloud(scenario, featurizer, Ledger(), Vault(folder))
    play(build(scenario, featurizer, Path(folder) / "bought"), cloud, open_grid=LocalGrid)
