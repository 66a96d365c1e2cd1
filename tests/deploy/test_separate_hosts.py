"""Each party on a host of its own (a network namespace), links that are cut, processes that are killed."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from deployment import Deployment
from twin import bought, play_again

from deploy.buyer import Wanted
from deploy.kit import Address
from parties.featurizers import Model
from protocol.messages.purchase import Quality

PRICES = {"seller1": 1.00, "seller2": 1.20, "seller3": 0.80}
"""As in deploy/compose.yaml."""
BROADCAST = 2
"""The step from which on it is known who takes part."""


class Hosts:
    """Network namespaces that hang on one switch, which is a namespace too."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def open(self) -> None:
        for name in (*self.names, "switch"):
            ip("netns", "add", space(name))
        self.on("switch", "link", "add", "bridge", "type", "bridge")
        self.on("switch", "link", "set", "bridge", "up")
        for number, name in enumerate(self.names, 1):
            self.on("switch", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", space(name))
            self.on("switch", "link", "set", name, "master", "bridge", "up")
            self.on(name, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
            self.on(name, "link", "set", "eth0", "up")
            self.on(name, "link", "set", "lo", "up")

    def on(self, name: str, *words: str) -> None:
        ip("-netns", space(name), *words)

    def close(self) -> None:
        for name in (*self.names, "switch"):
            subprocess.run(["ip", "netns", "del", space(name)], check=False, capture_output=True)


def space(name: str) -> str:
    return f"parley-{os.getpid()}-{name}"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class SeparateHosts(Deployment):
    """A deployment with each party on its host."""

    def space(self, name: str) -> str:
        return space(name)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if shutil.which("ip") is None:
        pytest.skip("network namespaces need the command ip")
    made = Hosts(["cloud", "buyer1", *PRICES])
    try:
        made.open()
        yield made
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this machine has no network namespaces: {error.stderr.decode().strip()}")
    finally:
        made.close()


@pytest.mark.slow
def test_a_purchase_between_hosts_survives_cuts_and_kills(hosts: Hosts, tmp_path: Path) -> None:
    """It ends with the very pictures and payments that it has in one process."""
    deployment = SeparateHosts(tmp_path, sellers=len(PRICES), address=Address("10.77.0.1"))
    state = deployment.kit / "cloud" / "state"
    state.mkdir(mode=0o700)
    roster = ["urn:parley:buyer:buyer1", *(f"urn:parley:seller:{name}" for name in PRICES)]
    (state / "roster.json").write_text(json.dumps(roster))
    try:
        for name in ("cloud", *PRICES):
            deployment.start(name)
        deployment.wait_attached(set(PRICES))
        deployment.start("buyer1")
        deployment.wait_step(BROADCAST)
        hosts.on("switch", "link", "set", "seller1", "down")
        for name in ("seller2", "cloud", "buyer1"):
            deployment.stop(name, signal.SIGKILL)
            deployment.start(name)
        hosts.on("switch", "link", "set", "seller1", "up")
        assert deployment.wait("buyer1") == 0, deployment.log("buyer1") + deployment.log("cloud")
    finally:
        deployment.close()
    words = deployment.service("buyer1")
    budget = float(words[words.index("--budget") + 1])
    wanted = Wanted(tmp_path / "wanted", budget, Quality.DIVERSITY, Model())
    there = bought(tmp_path / "bought")
    assert there
    assert there == play_again(deployment, wanted, PRICES, tmp_path / "bought", tmp_path / "twin")
