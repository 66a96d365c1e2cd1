"""A deployed party's policy and its privacy ledger: in its kit, to `parley doctor` and to `parley privacy`."""

import json
import re
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from wiring import Wires, secure

from deploy.doctor import check_machine
from deploy.findings import Severity
from deploy.kit import Address, read_kit
from deploy.privacy import privacy_of
from deploy.provisioning import provision
from parties.party import Party
from parties.policy.guard import Guard
from parties.policy.ledger import EVERYBODY, Ledger, Release
from parties.policy.settings import Policy, commented_policy
from parties.store import PartyStore
from parties.workflow import roll_call
from protocol.errors import BadKit, PolicyRefusal
from protocol.exchange import Exchange
from protocol.grids.grpc import EnrolledRoster
from protocol.storage.database import Database
from protocol.storage.tables import CLOUD
from simulations.cli import main
from strategies.privacy.composition import pure


@pytest.fixture
def out(tmp_path: Path) -> Path:
    provision(tmp_path / "kit", Address("localhost"), {"seller": 1, "buyer": 1, "entity": 1})
    return tmp_path / "kit"


def spend(kit: Path, *epsilons: float) -> None:
    with closing(PartyStore(kit / "state" / "party.sqlite")) as store:
        for epsilon in epsilons:
            told = [
                Release("image", b"\1" * 32, repr(epsilon).encode(), f"DPPix(epsilon={epsilon})", pure(epsilon)),
                Release("life", EVERYBODY, repr(epsilon).encode(), f"DPPix(epsilon={epsilon})", pure(epsilon)),
            ]
            Ledger(store.database).spend(told, Policy().budgets)


def findings(kit: Path) -> dict[str, tuple[Severity, str]]:
    return {each.subject: (each.severity, each.seen) for each in check_machine(kit)}


def test_every_kit_has_the_default_policy_of_its_role(out: Path) -> None:
    for name, sections in (
        ("seller1", {"workflows", "purchase"}),
        ("buyer1", {"workflows"}),
        ("entity1", {"workflows", "pool"}),
    ):
        assert set(yaml.safe_load((out / name / "policy.yaml").read_text())) == sections
        assert read_kit(out / name, ["seller", "buyer", "entity"]).policy() == Policy()
        assert findings(out / name)["policy"][0] is Severity.OK
    for name in ("cloud", "operator"):
        assert not (out / name / "policy.yaml").exists()
        assert "policy" not in findings(out / name)


def test_the_whole_default_reads_as_the_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command("privacy", "--default")
    printed = capsys.readouterr().out
    assert printed == commented_policy()
    assert Policy.model_validate(yaml.safe_load(printed)) == Policy()


def test_without_a_file_the_policy_is_strict_and_a_bad_one_is_an_error(out: Path) -> None:
    path = out / "seller1" / "policy.yaml"
    path.unlink()
    assert read_kit(out / "seller1", ["seller"]).policy() == Policy()
    assert findings(out / "seller1")["policy"][0] is Severity.WARNING
    path.write_text("workflows: [pool]\n")
    assert "takes no part in purchase" in findings(out / "seller1")["policy"][1]
    path.write_text("purchase: {privacy: [level3]}\n")
    severity, seen = findings(out / "seller1")["policy"]
    assert severity is Severity.FAILED
    assert re.search("purchase.privacy.0: input should be", seen)
    with pytest.raises(BadKit, match="purchase"):
        read_kit(out / "seller1", ["seller"]).policy()


def command(*words: str) -> None:
    before, sys.argv = sys.argv, ["parley", *words]
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise
    finally:
        sys.argv = before


def test_the_command_shows_budgets_and_what_was_spent(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kit = out / "entity1"
    command("privacy", "--kit", str(kit), "--json")
    empty = json.loads(capsys.readouterr().out)
    assert (empty["spent"], empty["entries"]) == ({"image": 0.0, "person": 0.0, "life": 0.0}, 0)
    spend(kit, 1.0, 2.0)
    command("privacy", "--kit", str(kit), "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["spent"] == {"image": 3.0, "person": 0.0, "life": 3.0}
    assert told["budgets"] == {"image": 4.0, "person": 8.0, "life": 16.0}
    assert told["largest"] == [{"kind": "image", "subject": "01" * 32, "epsilon": 3.0}]
    assert [(line["number"], line["epsilon"]) for line in told["last"]] == [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0)]
    command("privacy", "--kit", str(kit))
    shown = capsys.readouterr().out
    assert "an image" in shown
    assert "DPPix(epsilon=2.0)" in shown


def test_an_older_ledger_is_adopted_by_the_operator_alone(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kit = out / "entity1"
    spend(kit, 1.0)
    with closing(PartyStore(kit / "state" / "party.sqlite")) as store:
        Ledger(store.database).saw(9, bytes(32))
    assert "has 2 entries" in str(privacy_of(read_kit(kit, ["entity"])).behind)
    with pytest.raises(PolicyRefusal):
        spend(kit, 2.0)
    command("privacy", "--kit", str(kit), "--adopt", "--json")
    assert json.loads(capsys.readouterr().out)["behind"] is None
    spend(kit, 2.0)


class Entity(Party):
    role = "entity"


def test_the_cloud_remembers_a_ledger_in_its_database_and_tells_it_after_a_restart(tmp_path: Path) -> None:
    """Over mutual TLS: the party has signed seven entries, and comes back with a store of none."""
    urn, ledger = "urn:parley:entity:clinic", Ledger()
    ledger.spend([Release("image", b"x", bytes([n]), "x", pure(0.1)) for n in range(7)], Policy().budgets)
    for mine, behind in ((ledger, False), (Ledger(), True)):
        party = Entity(bytes(32))
        party.guard = Guard(party, Policy(), mine)
        met(tmp_path, urn, party)
        met(tmp_path, urn, party)
        assert (mine.behind() is not None) is behind


def met(folder: Path, urn: str, party: Party) -> None:
    """Call the roll by a cloud that was started anew."""
    wires: Any = Wires(folder)
    with closing(Database(folder / "cloud.sqlite", CLOUD)) as database:
        roster = EnrolledRoster(database)
        try:
            grid = wires.cloud([], roster=roster)
            wires.attach(grid.address, urn, party.client_app(), security=secure(urn))
            assert grid.wait_attached([roster.node_id(urn)], 20) == set()
            assert roll_call(Exchange(grid), 20).present == {"entity": [roster.node_id(urn)]}
        finally:
            wires.close()
