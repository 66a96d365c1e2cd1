import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict

from parties.adversaries import ADVERSARIES
from parties.adversaries.adversary import ROLES
from parties.party import Memory, Party, step
from protocol.encoding.codec import UnreadableMessage, decode, encode
from protocol.flower import new_message, with_id
from protocol.messages.base import Acknowledgement, Hello, Introduction
from protocol.messages.purchase import Award, Statement


class Counter(Party):
    """Counts what it is told, and answers the number as a balance."""

    role = "counter"

    @step("count")
    def count(self, statement: Statement) -> Statement:
        try:
            before = self.memory.recall("total", Statement).balance
        except KeyError:
            before = 0
        after = statement.model_copy(update={"balance": before + statement.balance})
        self.memory.keep("total", after)
        return after


class Doubler(Counter):
    """Overrides a step without naming it again."""

    def count(self, statement: Statement) -> Statement:
        return super().count(statement.model_copy(update={"balance": 2 * statement.balance}))


def context() -> Context:
    return Context(run_id=1, node_id=2, node_config={}, state=RecordDict(), run_config={})


def question(step_name: str, content: RecordDict) -> Message:
    return with_id(new_message(content, run_id=1, message_type=f"query.{step_name}", dst_node_id=2), "1")


def count(party: Party, held: Context, amount: int) -> int:
    statement = Statement(lines=(), balance=amount)
    reply = party.client_app()(question("count", encode(statement)), held)
    return decode(reply.content, Statement).balance


def test_a_party_is_a_flower_app_that_answers_typed_steps() -> None:
    reply = Counter(bytes(32)).client_app()(question("introduce", encode(Hello())), context())
    assert decode(reply.content, Introduction).role == "counter"


def test_memory_lives_in_flowers_state_not_in_the_party() -> None:
    held, party = context(), Counter(bytes(32))
    assert [count(party, held, 5), count(Counter(bytes(32)), held, 7), count(party, context(), 1)] == [5, 12, 1]


def test_an_adversary_overrides_a_step_by_its_method() -> None:
    assert count(Doubler(bytes(32)), context(), 5) == 10


def test_mods_wrap_every_step() -> None:
    seen: list[str] = []

    def mod(message: Message, context: Context, call_next: object) -> Message:
        seen.append(message.metadata.message_type)
        return call_next(message, context)  # type: ignore[operator, no-any-return]

    app = Counter(bytes(32)).client_app([mod])
    app(question("introduce", encode(Hello())), context())
    assert seen == ["query.introduce"]


def test_an_unreadable_question_is_refused() -> None:
    with pytest.raises(UnreadableMessage):
        Counter(bytes(32)).client_app()(question("count", encode(Hello())), context())


def test_what_a_party_draws_depends_on_its_secret_and_the_purpose_alone() -> None:
    one, other = Party(bytes(32)), Party(bytes(31) + b"1")
    assert one.derive("a") == one.derive("a")
    assert len({one.derive("a"), one.derive("b"), other.derive("a")}) == 3
    assert one.generator("x").random() == one.generator("x").random() != one.generator("y").random()


def test_a_memory_keeps_the_last_of_a_name() -> None:
    memory = Memory(RecordDict())
    memory.keep("a", Award(bid=bytes(32), payment=1))
    memory.keep("a", Award(bid=bytes(32), payment=2))
    memory.keep("b", Acknowledgement())
    assert memory.recall("a", Award).payment == 2
    with pytest.raises(KeyError):
        memory.recall("c", Award)


def test_memory_of_a_peer_is_no_place_for_anything_else() -> None:
    state = RecordDict({"x": ConfigRecord({"y": 1})})
    Memory(state).keep("a", Acknowledgement())
    assert dict(state["x"]) == {"y": 1}


@pytest.mark.parametrize("name", ADVERSARIES)
def test_every_adversary_says_what_it_does_knows_and_gains(name: str) -> None:
    adversary = ADVERSARIES[name]
    assert adversary.name == name
    assert adversary.summary.endswith(".")
    assert adversary.knowledge
    assert adversary.profit
    assert issubclass(adversary.party, ROLES[adversary.role])
