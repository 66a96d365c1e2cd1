"""Parties of one process compute together, and nobody can tell."""

from collections.abc import Sequence
from typing import Any

import pytest
from conftest import small
from flwr.app import Context, Message
from flwr.clientapp.typing import ClientAppCallable

from parties.adversaries import ADVERSARIES
from parties.party import Party, step, together
from protocol.encoding.codec import decode, encode
from protocol.exchange import ask
from protocol.grids import Envelope, LocalGrid
from protocol.messages.purchase import Bids, CallForBids, Statement
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault
from simulations.workflows.purchase.play import make_cloud, play
from simulations.workflows.purchase.world import build
from strategies.features.featurizer import Featurizer


class Doubler(Party):
    """Answers twice what it is told, computed for all parties at once; notes how many there were."""

    sizes: list[int] = []  # noqa: RUF012 what tests look at

    @step("double")
    def double(self, statement: Statement) -> Statement:
        return statement.model_copy(update={"balance": self.doubled(statement)})

    @together("double")
    def doubled(parties: Sequence["Doubler"], statement: Statement) -> list[int]:  # noqa: N805
        Doubler.sizes.append(len(parties))
        if any(isinstance(party, Broken) for party in parties):
            raise RuntimeError("a broken one is among them")
        return [2 * statement.balance] * len(parties)


class Broken(Doubler):
    """Cannot compute."""


class Tripler(Doubler):
    """Takes the step in its own way, and asks for something else."""

    def double(self, statement: Statement) -> Statement:
        return super().double(statement.model_copy(update={"balance": 10 * statement.balance}))


def tenfold(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Change the question on its way."""
    told = decode(message.content, Statement)
    message.content = encode(told.model_copy(update={"balance": 10 * told.balance}))
    return call_next(message, context)


def told(parties: Sequence[Party], balance: int = 3, mods: dict[int, Any] | None = None) -> dict[int, int | str]:
    """Tell all parties the same; return their answers, or the last lines of why there is none."""
    Doubler.sizes.clear()
    apps = [party.client_app([mods[index]] if mods and index in mods else []) for index, party in enumerate(parties)]
    grid = LocalGrid(apps)
    question = Statement(lines=(), balance=balance)
    replies = ask(grid, "double", dict.fromkeys(grid.get_node_ids(), question), Statement)
    answers: dict[int, int | str] = {node: answer.balance for node, answer in replies.answers.items()}
    return answers | {node: why.strip().splitlines()[-1] for node, why in replies.failures.items()}


def some(*kinds: type[Party]) -> list[Party]:
    return [kind(bytes([index]) * 32) for index, kind in enumerate(kinds)]


def test_the_batched_form_runs_once_for_all() -> None:
    assert told(some(Doubler, Doubler, Doubler)) == {2: 6, 3: 6, 4: 6}
    assert Doubler.sizes == [3]


def test_alone_it_is_a_batch_of_one() -> None:
    assert Doubler(bytes(32)).double(Statement(lines=(), balance=4)).balance == 8


def test_whose_message_was_changed_on_its_way_computes_alone() -> None:
    assert told(some(Doubler, Doubler, Doubler), mods={1: tenfold}) == {2: 6, 3: 60, 4: 6}
    assert Doubler.sizes == [3, 1]


def test_who_takes_the_step_in_another_way_computes_alone() -> None:
    assert told(some(Doubler, Tripler, Doubler)) == {2: 6, 3: 60, 4: 6}
    assert Doubler.sizes == [2, 1]


def test_one_that_cannot_fails_alone() -> None:
    assert told(some(Doubler, Broken, Doubler)) == {2: 6, 3: "RuntimeError: a broken one is among them", 4: 6}
    assert Doubler.sizes == [3, 1, 1, 1]


def test_what_was_computed_for_one_message_does_not_answer_another(featurizer: Featurizer) -> None:
    parties = some(Doubler, Doubler)
    assert told(parties, 3) == {2: 6, 3: 6}
    assert told(parties, 5) == {2: 10, 3: 10}


@pytest.mark.parametrize("name", [None, *sorted(name for name, cheat in ADVERSARIES.items() if cheat.role == "seller")])
def test_bids_are_the_same_in_a_batch_and_alone(name: str | None, featurizer: Featurizer, tmp_path: Any) -> None:
    scenario = small(sellers={"count": 6}, adversaries={} if name is None else {name: 0.5})
    calls: list[CallForBids] = []

    def listen(envelope: Envelope) -> None:
        if envelope.kind == "CallForBids" and envelope.content is not None:
            calls.append(decode(envelope.content, CallForBids))

    cloud = make_cloud(scenario, featurizer, Ledger(), Vault(str(tmp_path / "vault")))
    play(build(scenario, featurizer, tmp_path / "bought"), cloud, listen)

    def bids(size: int) -> dict[int, Any]:
        sellers = [held.party for held in build(scenario, featurizer, tmp_path / "again").sellers]
        apps = [seller.client_app() for seller in sellers]
        answers: dict[int, Any] = {}
        for start in range(0, len(apps), size):
            grid = LocalGrid(apps[start : start + size])
            replies = ask(grid, "bid", dict.fromkeys(grid.get_node_ids(), calls[0]), Bids)
            for node, answer in (replies.answers | replies.failures).items():
                shown = answer if isinstance(answer, str) else answer.model_dump()
                answers[start + node] = shown.strip().splitlines()[-1] if isinstance(shown, str) else shown
        return answers

    assert bids(1) == bids(6)
