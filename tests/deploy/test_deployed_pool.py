"""Institutions and a cloud as processes of their own: a pool over mutual TLS, by the commands that users type."""

import json
import shlex
import signal
import time
from collections.abc import Iterator

import pytest
import torch
from deployment import CLASSES, PATIENCE, Deployment
from safetensors.torch import load_file

from parties.policy.settings import FILE
from strategies.deep_poisoning.split import new_network

POOL = f"pool --kit kit/operator --classes '{','.join(CLASSES)}' --side 32 --patience {PATIENCE:.0f}"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A cloud and two entities that are up; nobody sells."""
    deployment = Deployment(tmp_path_factory.mktemp("pool"), sellers=0, entities=2)
    try:
        deployment.start("cloud")
        for name in ("entity1", "entity2"):
            deployment.start(name, entity(deployment, name))
        deployment.wait_attached({"entity1", "entity2"})
        yield deployment
    finally:
        deployment.close()


def entity(deployment: Deployment, name: str) -> list[str]:
    """A command that trains too little for the policy of a kit, with a policy that accepts this."""
    (deployment.kit / name / FILE).write_text("pool: {clean: 0.01, published: 0.8, unseen: 1}\n")
    return [*deployment.service(name), "--steps", "15"]


def ask(deployment: Deployment, name: str, words: str) -> tuple[int, str]:
    """Run a command as a process, and return its exit code and what it said."""
    deployment.start(name, shlex.split(words))
    return deployment.wait(name), " ".join(deployment.log(name).split())


def test_two_institutions_pool_and_each_finds_its_model(running: Deployment) -> None:
    code, _ = ask(running, "operator", f"{POOL} --publisher entity2 --json")
    assert code == 0, running.log("operator") + running.log("cloud")
    standing = json.loads(running.log("operator")[running.log("operator").index("{") :])
    assert standing["state"] == "closed"
    assert standing["publisher"].endswith(":entity2")
    entities = {each["urn"].rpartition(":")[2]: each for each in standing["entities"]}
    # A fifth of 24 + 24 pictures is held back, and of 12 + 12.
    assert [entities[name]["pooled"] for name in ("entity1", "entity2")] == [38, 20]
    assert [entities[name]["samples"] for name in ("entity1", "entity2")] == [38, 20]
    for name, other in (("entity1", "entity2"), ("entity2", "entity1")):
        assert entities[name]["note"] == ""
        assert entities[name]["used"] <= entities[other]["pooled"]
        (folder,) = (running.kit / name / "state" / "models").iterdir()
        told = json.loads((folder / "model.json").read_text())
        assert (tuple(told["classes"]), told["side"], told["top1"]) == (CLASSES, 32, entities[name]["top1"])
        network = new_network(told["architecture"], len(CLASSES), torch.Generator())
        network.featurizer.load_state_dict(load_file(folder / "featurizer.safetensors"))
        network.decider.load_state_dict(load_file(folder / "decider.safetensors"))
        assert all(path.stat().st_mode & 0o077 == 0 for path in (folder, *folder.iterdir()))
    assert not [path for path in (running.kit / "cloud" / "state" / "pool").rglob("*") if path.is_file()]


@pytest.mark.slow
def test_an_institution_that_is_killed_goes_on_with_the_pool(running: Deployment) -> None:
    begun = len([line for line in running.events("cloud") if line["event"] == "pool begins"])
    running.start("operator", shlex.split(POOL))
    until = time.monotonic() + PATIENCE
    while len([line for line in running.events("cloud") if line["event"] == "pool begins"]) == begun:
        assert time.monotonic() < until, running.log("cloud") + running.log("operator")
        time.sleep(0.02)
    running.stop("entity2", signal.SIGKILL)
    code, said = ask(running, "another", POOL)
    assert code == 10
    assert "a pool is running" in said
    running.start("entity2", entity(running, "entity2"))
    assert running.wait("operator") == 0, running.log("operator") + running.log("cloud")
    assert len(list((running.kit / "entity2" / "state" / "models").iterdir())) == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("pool --kit kit/operator --classes cat,dog", 6, f"enrol: there are pictures of '{min(CLASSES)}'"),
        ("pool --kit kit/operator --classes cat", 4, "a pool has at least two classes with different names"),
        (f"pool --kit kit/operator --classes cat,{'d' * 300}", 4, "the name of a class has at most 200 letters"),
        ("pool --kit kit/operator --classes cat,dog --architecture deep", 4, "there is no architecture 'deep'"),
        ("pool --kit kit/operator --classes cat,dog --entities 3", 10, "2 entities are attached, and this pool needs"),
        (
            "pool --kit kit/operator --classes cat,dog --publisher eve",
            10,
            "no entity 'eve' is attached that could publish",
        ),
        ("pool --kit kit/entity1 --classes cat,dog", 9, "but this command needs operator"),
        ("entity --kit kit/buyer1 --images images/entity1", 9, "but this command needs entity"),
        ("entity --kit kit/entity1 --images public", 4, "holds pictures outside of sub-folders"),
        ("entity --kit kit/entity1 --images nowhere", 4, "there is no folder nowhere"),
    ],
)
def test_what_cannot_be_is_one_sentence(running: Deployment, words: str, code: int, said: str) -> None:
    running.wait_attached({"entity1", "entity2"})
    ended, told = ask(running, "other", words)
    assert ended == code, told
    assert said in told
    assert "Traceback" not in told


@pytest.mark.slow
def test_a_cloud_that_is_killed_ends_the_pool_and_leaves_none_of_it(running: Deployment) -> None:
    """The last test: the cloud is another one after it. Entities come back by themselves, and pool again."""
    features = running.kit / "cloud" / "state" / "pool"
    running.start("operator", shlex.split(POOL))
    until = time.monotonic() + PATIENCE
    while not [path for path in features.rglob("*") if path.is_file()]:
        assert time.monotonic() < until, running.log("cloud") + running.log("operator")
        time.sleep(0.01)
    running.stop("cloud", signal.SIGKILL)
    assert running.wait("operator") == 10
    assert "Traceback" not in running.log("operator")
    running.start("cloud")
    running.wait_attached({"entity1", "entity2"})
    assert list(features.rglob("*")) == []
    code, _ = ask(running, "operator", POOL)
    assert code == 0, running.log("operator") + running.log("cloud")
