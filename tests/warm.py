"""Imported by the process that others are forked from (`forks`)."""

import tempfile
from pathlib import Path

from conftest import small

import simulations.cli
import simulations.deployed.buyer
import simulations.deployed.cloud
import simulations.deployed.processes
import simulations.deployed.seller  # noqa: F401
from protocol.grids import LocalGrid
from protocol.ledger import Ledger
from protocol.vault import Vault
from simulations.featurizers import load_featurizer
from simulations.purchase.play import make_cloud, play
from simulations.purchase.world import build

with tempfile.TemporaryDirectory() as folder:
    featurizer = load_featurizer("small")
    scenario = small(cloud={"privacy": "level2"})
    cloud = make_cloud(scenario, featurizer, Ledger(), Vault(folder))
    play(build(scenario, featurizer, Path(folder) / "bought"), cloud, open_grid=LocalGrid)
