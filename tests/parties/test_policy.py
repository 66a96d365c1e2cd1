"""What a cloud gets from parties without a policy, and what the default policy makes of it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from parties.federate.client import ARRAYS, CONFIG, Client
from parties.party import Party, step
from parties.policy.guard import Guard, guarded
from parties.policy.ledger import Ledger
from parties.policy.settings import Budgets, Federating, Policy, Publishing
from parties.publish.publisher import Publisher
from parties.store import PartyStore
from parties.workflow import roll_call
from protocol.encoding.codec import decode, encode
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID, new_message, task_identity
from protocol.grids import LocalGrid
from protocol.messages.base import Acknowledgement, Hello, LedgerHead
from protocol.messages.federate import Setting as TrainSetting
from protocol.messages.federate import TrainCall
from protocol.messages.publish import CallForPictures, Publication, Setting
from protocol.messages.secure_sum import KeyCall, MaskedValues, Round
from strategies.learning.group_normalised import new_group_normalised
from strategies.learning.weights import Weights, to_row, weights
from strategies.privacy.composition import Loss

PLAIN = {"epochs": 1.0, "batch": 10.0, "learning-rate": 0.1}
DEFAULT = Policy()
PRIVATE = {"sigma": 20.0, "sampling-rate": 1.0, "steps": 1.0, "clipping": 1.0, "learning-rate": 0.1}


def owner(pictures: int = 1, most: int = 20) -> Publisher:
    album = list(np.random.default_rng(3).integers(0, 256, (pictures, 16, 16, 3), dtype=np.uint8))
    return Publisher(b"p" * 32, album, [0] * pictures, most)


def client(number: int = 0, **settings: Any) -> Client:
    generator = np.random.default_rng(number)
    pictures = generator.integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    return Client(bytes([number]) * 32, pictures, np.arange(6) % 2, 2, **settings)


@contextmanager
def asking(*parties: Party) -> Iterator[Grid]:
    with LocalGrid([party.client_app() for party in parties]) as grid, task_identity(1):
        yield grid


def asked(grid: Grid, message: Message) -> RecordDict | str:
    """The content of an answer, or the last line of why there is none."""
    (reply,) = grid.send_and_receive([message])
    return str(reply.error.reason).strip().splitlines()[-1] if reply.has_error() else reply.content


def call(mechanism: str = "dp-pix", method: str = "m", most: int = 20, **settings: float) -> CallForPictures:
    told = tuple(
        Setting(name=name, value=float(value), whole=isinstance(value, int)) for name, value in settings.items()
    )
    return CallForPictures(method=method, mechanism=mechanism, settings=told, most=most)


def published(grid: Grid, question: CallForPictures) -> np.ndarray | str:
    answer = asked(grid, grid.create_message(encode(question), "query.publish", FIRST_NODE_ID, ""))
    return answer if isinstance(answer, str) else decode(answer, Publication).pictures


def train(grid: Grid, settings: Mapping[str, float], number: int = 1, training: str = "t") -> RecordDict | str:
    told = ConfigRecord({"training": training, "server-round": number, **settings})
    arrays = ArrayRecord({name: Array(value.numpy()) for name, value in start().items()})
    content = RecordDict({ARRAYS: arrays, CONFIG: told})
    return asked(grid, new_message(content, run_id=1, message_type="train", dst_node_id=FIRST_NODE_ID))


def start() -> Weights:
    return weights(new_group_normalised(2, torch.Generator().manual_seed(1)))


def protected(party: Any, policy: Policy = DEFAULT, ledger: Ledger | None = None) -> Any:
    party.guard = Guard(party, policy, ledger)
    return party


def lost(party: Party, kind: str) -> float:
    assert isinstance(party.guard, Guard)
    losses = party.guard.ledger.losses().items()
    return max((loss.epsilon(1e-6) for (of, _), loss in losses if of == kind), default=0.0)


class TestPublishers:
    def test_plain_gets_the_originals_and_a_refusal(self) -> None:
        with asking(owner()) as grid:
            assert np.array_equal(published(grid, call("plain"))[0], owner().album[0])  # type: ignore[index]
        with asking(protected(owner())) as grid:
            said = published(grid, call("plain"))
        assert said == (
            "protocol.errors.PolicyRefusal: pictures were asked for by plain, and this party publishes by dp-pix"
        )

    @pytest.mark.parametrize(("name", "settings"), [("pixelize", {"cell": 8}), ("p3", {"threshold": 10})])
    def test_what_promises_nothing_is_refused_though_it_is_named(self, name: str, settings: dict[str, float]) -> None:
        policy = Policy(publish=Publishing(mechanisms=(name,)))
        with asking(protected(owner(), policy)) as grid:
            assert "promises nothing" in str(published(grid, call(name, **settings)))
        policy = Policy(publish=Publishing(mechanisms=(name,), unprotected=True))
        with asking(party := protected(owner(), policy)) as grid:
            assert isinstance(published(grid, call(name, **settings)), np.ndarray)
        assert lost(party, "life") == 0.0
        assert len(party.guard.ledger.entries()) == 3

    def test_400_names_get_one_answer_at_one_price(self) -> None:
        with asking(party := protected(owner())) as grid:
            answers = [published(grid, call(method=f"name {number}", epsilon=1.0)) for number in range(400)]
        assert len({answer.tobytes() for answer in answers}) == 1  # type: ignore[union-attr]
        assert lost(party, "image") == 1.0

    def test_400_epsilons_are_averaged_out_without_a_policy_and_end_at_the_budget_with_one(self) -> None:
        def answers(party: Publisher) -> list[np.ndarray]:
            with asking(party) as grid:
                found = [published(grid, call(epsilon=1 - number / 1e6)) for number in range(400)]
            return [each[0].astype(float) for each in found if not isinstance(each, str)]

        truth = owner().album[0].astype(float).reshape(2, 8, 2, 8, 3).mean(axis=(1, 3)).repeat(8, 0).repeat(8, 1)
        all_of_them, allowed = answers(owner()), answers(party := protected(owner()))
        assert (len(all_of_them), len(allowed)) == (400, 4)
        off = [np.abs(np.mean(found, axis=0) - truth).mean() for found in (all_of_them, allowed)]
        assert off[1] > 2 * off[0]
        assert lost(party, "image") <= 4.0

    def test_epsilon_counts_for_as_many_pixels_as_the_policy_protects(self) -> None:
        """One changed pixel at epsilon 1 is little noise: it is 16 times epsilon 1 for 16 of them."""
        with asking(party := protected(owner())) as grid:
            assert "at epsilon 16 for 16 pixels, and 1 is allowed" in str(published(grid, call(epsilon=1.0, changed=1)))
            assert isinstance(published(grid, call(epsilon=1.0, changed=32)), np.ndarray)
        assert lost(party, "image") == 0.5

    def test_snow_exceeds_any_delta(self) -> None:
        policy = Policy(publish=Publishing(mechanisms=("snow",)))
        with asking(protected(owner(), policy)) as grid:
            assert "from 0 to inf" in str(published(grid, call("snow", delta=0.5)))

    def test_pictures_are_counted_together_as_of_one_person(self) -> None:
        with asking(party := protected(owner(20))) as grid:
            assert len(published(grid, call(epsilon=1.0))) == 8
            assert "of a person from 8 to 8.8" in str(published(grid, call(epsilon=0.1)))
            assert len(published(grid, call(epsilon=1.0, most=3))) == 3
        assert (lost(party, "image"), lost(party, "person")) == (1.0, 8.0)

    def test_an_answer_that_fails_costs_nothing(self) -> None:
        with asking(party := protected(owner())) as grid:
            assert "cells of 7 pixels do not tile" in str(published(grid, call(epsilon=1.0, cell=7)))
        assert party.guard.ledger.head()[0] == 0

    def test_a_restart_keeps_what_was_spent(self, tmp_path: Path) -> None:
        for epsilons in ((0.9, 0.8, 0.7, 0.6), (0.5, 0.4, 0.3)):
            with (
                closing(PartyStore(tmp_path / "party.sqlite")) as store,
                asking(protected(owner(), ledger=Ledger(store.database))) as grid,
            ):
                said = [published(grid, call(epsilon=epsilon)) for epsilon in epsilons]
        assert isinstance(said[1], np.ndarray)
        assert "from 3.9 to 4.2" in str(said[2])


class TestClients:
    def test_a_plain_update_is_sent_by_who_has_no_policy_and_refused_by_it(self) -> None:
        for party, told, why in (
            (client(), True, "answered in the open already, and is not answered behind masks"),
            (protected(client()), False, "a step of it was left out"),
        ):
            with asking(party) as grid:
                answer = train(grid, PLAIN)
                added = asked(grid, sum_call(grid))
            assert isinstance(answer, RecordDict) is told
            assert why in str(added)
        assert answer == (
            "protocol.errors.PolicyRefusal: an update was asked for as it is, and this party sends it with noise or in"
            " a secure sum"
        )

    def test_little_noise_is_obeyed_without_a_policy_and_refused_by_it(self) -> None:
        little = PRIVATE | {"sigma": 1e-9}
        with asking(client()) as grid:
            assert isinstance(train(grid, little), RecordDict)
        with asking(protected(client())) as grid:
            assert "a sigma of 1e-09 was asked for, and 1 is the least" in str(train(grid, little))

    def test_a_round_is_answered_once_and_in_one_way(self) -> None:
        party = protected(Adding(bytes(32), *pictures(), 2))
        with asking(party) as grid:
            assert isinstance(train(grid, PRIVATE), RecordDict)
            assert isinstance(train(grid, PRIVATE), RecordDict)
            assert "answered already, and not as round 1 of training 't', answered by private" in str(
                train(grid, PRIVATE | {"sigma": 30.0})
            )
            assert "answered by sum: each gets one answer" in str(asked(grid, sum_call(grid)))
            assert isinstance(asked(grid, sum_call(grid, 2)), RecordDict)
            assert "answered by private: each gets one answer" in str(train(grid, PRIVATE, 2))

    def test_rounds_cost_until_the_budget_is_spent_and_the_same_model_under_another_name_costs_nothing(self) -> None:
        party = protected(client(), Policy(budgets=Budgets(image=1.0, person=2.0, life=2.0)))
        with asking(party) as grid:
            assert isinstance(train(grid, PRIVATE), RecordDict)
            once = lost(party, "image")
            for name in ("another", "and another"):
                assert isinstance(train(grid, PRIVATE, training=name), RecordDict)
            assert lost(party, "image") == once
            said = [train(grid, PRIVATE | {"learning-rate": 0.1 + number / 100}, number) for number in range(2, 60)]
        assert isinstance(said[0], RecordDict)
        assert "would bring the epsilon of an image" in str(said[-1])
        assert lost(party, "image") <= 1.0

    def test_a_person_in_several_pictures_loses_more_than_a_picture(self) -> None:
        party = protected(client(persons=np.array([0, 0, 0, 1, 1, 2])))
        with asking(party) as grid:
            assert isinstance(train(grid, PRIVATE), RecordDict)
        assert lost(party, "person") > 2 * lost(party, "image")
        party = protected(client(persons=np.array([0, 0, 0, 1, 1, 2])))
        with asking(party) as grid:
            assert isinstance(train(grid, PRIVATE | {"per-person": 3.0}), RecordDict)
        assert lost(party, "person") < lost(party, "image")

    def test_rounds_are_counted_whatever_the_training_is_called(self) -> None:
        policy = Policy(federate=Federating(rounds=3))
        with asking(protected(client(), policy)) as grid:
            said = [train(grid, PRIVATE, training=f"training {number}") for number in range(4)]
        assert [isinstance(each, RecordDict) for each in said] == [True, True, True, False]
        assert "3 rounds of training were answered, and 3 are allowed" in str(said[3])

    def test_the_fewest_clients_of_a_sum_are_told_to_who_sums(self) -> None:
        class Careful(Client):
            fewest = 2

        assert protected(Careful(bytes(32), *pictures(), 2)).fewest == 3


class Adding(Client):
    """Adds without masks, so that no peers are needed."""

    @step("add")
    def add(self, call: TrainCall) -> MaskedValues:
        return MaskedValues(values=np.zeros(1, np.uint64), tags=np.zeros((0, 16), np.uint8))


def pictures() -> tuple[np.ndarray, np.ndarray]:
    return client().pictures, client().labels


def sum_call(grid: Grid, number: int = 1) -> Message:
    told = tuple(TrainSetting(name=name, value=value) for name, value in PLAIN.items())
    question = TrainCall(round=Round(training="t", number=number), model=to_row(start()).numpy(), settings=told)
    return grid.create_message(encode(question), "query.add", FIRST_NODE_ID, "")


class TestWorkflows:
    def test_a_workflow_that_it_takes_no_part_in_is_refused_in_all_steps_but_the_first(self) -> None:
        policy = Policy(workflows=("purchase",))
        with asking(protected(client(), policy)) as grid:
            refused = "is of the workflow federate, and this party takes part in purchase"
            question = KeyCall(round=Round(training="t", number=1))
            assert refused in str(asked(grid, grid.create_message(encode(question), "query.keys", FIRST_NODE_ID, "")))
            assert refused in str(train(grid, PRIVATE))
            assert isinstance(
                asked(grid, grid.create_message(encode(Hello()), "query.introduce", FIRST_NODE_ID, "")), RecordDict
            )


class Remembering(LocalGrid):
    """A cloud that remembers the heads of ledgers, as one with a database does."""

    known: dict[int, LedgerHead] = {}  # noqa: RUF012

    def ledgers(self) -> Any:
        return self

    def heads(self) -> dict[int, LedgerHead]:
        return self.known

    def keep_heads(self, told: Mapping[int, LedgerHead]) -> None:
        self.known |= told


class TestRolledBack:
    def played(self, folder: Path, name: str, epsilons: Sequence[float]) -> list[Any]:
        """Ask who is there, and for pictures, of the store of this name."""
        with closing(PartyStore(folder / name)) as store:
            party = protected(owner(), ledger=Ledger(store.database))
            with Remembering([party.client_app()]) as grid, task_identity(1):
                roll_call(Exchange(grid), 10)
                said = [published(grid, call(epsilon=epsilon)) for epsilon in epsilons]
                roll_call(Exchange(grid), 10)
        return said

    @pytest.fixture(autouse=True)
    def _forgotten(self) -> Iterator[None]:
        Remembering.known = {}
        yield
        Remembering.known = {}

    def test_an_older_store_spends_nothing_where_the_cloud_remembers(self, tmp_path: Path) -> None:
        self.played(tmp_path, "party.sqlite", [0.9])
        (tmp_path / "backup.sqlite").write_bytes((tmp_path / "party.sqlite").read_bytes())
        self.played(tmp_path, "party.sqlite", [0.8, 0.7])
        again, other = self.played(tmp_path, "backup.sqlite", [0.9, 0.6])
        assert isinstance(again, np.ndarray)
        assert "has 3 entries, and the cloud was told of another one with 9" in str(other)
        assert isinstance(self.played(tmp_path, "party.sqlite", [0.6])[0], np.ndarray)

    def test_and_does_so_where_it_forgets(self, tmp_path: Path) -> None:
        """Nothing stops this: a cloud may keep to itself what it was told."""
        self.played(tmp_path, "party.sqlite", [0.9])
        backup = (tmp_path / "party.sqlite").read_bytes()
        self.played(tmp_path, "party.sqlite", [0.8])
        (tmp_path / "backup.sqlite").write_bytes(backup)
        Remembering.known = {}
        assert isinstance(self.played(tmp_path, "backup.sqlite", [0.6])[0], np.ndarray)

    def test_a_head_that_the_party_has_not_signed_is_ignored(self, tmp_path: Path) -> None:
        Remembering.known = {FIRST_NODE_ID: LedgerHead(count=99, head=bytes(32), signature=bytes(64))}
        assert isinstance(self.played(tmp_path, "party.sqlite", [0.9])[0], np.ndarray)

    def test_where_nothing_is_remembered_all_parties_get_one_message(self) -> None:
        contents = []

        class Seen(LocalGrid):
            def create_message(self, content: RecordDict, *rest: Any, **more: Any) -> Message:
                contents.append(content)
                return super().create_message(content, *rest, **more)

        with Seen([protected(owner()).client_app() for _ in range(3)]) as grid, task_identity(1):
            roll_call(Exchange(grid), 10)
        assert len(contents) == 3
        assert len({id(content) for content in contents}) == 1


def test_parties_of_a_simulation_each_get_a_ledger_of_their_own() -> None:
    parties = [owner(), client(), Bystander(bytes(32))]
    guarded([party.client_app() for party in parties], Policy())
    assert len({id(party.guard.ledger) for party in parties}) == 3  # type: ignore[union-attr]


class Bystander(Party):
    role = "bystander"

    @step("note")
    def note(self, hello: Hello) -> Acknowledgement:
        return Acknowledgement()


def test_losses_of_nothing_are_nothing() -> None:
    assert Loss.none().epsilon(0.0) == 0.0
    assert not math.isnan(Loss.none().epsilon(1e-6))


def test_a_party_with_a_policy_travels_to_other_processes() -> None:
    app = cloudpickle.loads(cloudpickle.dumps(protected(owner()).client_app()))
    with LocalGrid([app]) as grid, task_identity(1):
        assert "publishes by dp-pix" in str(published(grid, call("plain")))
        assert isinstance(published(grid, call(epsilon=1.0)), np.ndarray)
