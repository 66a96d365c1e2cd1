"""Each lie of a cloud about a secure sum, and each answer of a client that is none, is refused by its sentence."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from summing import Adder, Cloud, adders, attached, failing, nodes, plain

from parties.workflow import WorkflowFailed
from protocol.messages.base import ProtocolMessage

COUNT, VICTIM, AWAY = 7, 0, 6
"""Of seven clients the first one is lied to, and the last one takes no part."""


def changed(message: ProtocolMessage, **fields: Callable[[Any], Any]) -> Any:
    """A message with some of its arrays changed."""
    return message.model_copy(update={name: change(getattr(message, name)) for name, change in fields.items()})


def without_last(rows: Any) -> Any:
    return rows[:-1]


def first_repeated(rows: Any) -> Any:
    return np.concatenate([rows[:1], rows[:1], rows[2:]])


def other_keys(rows: Any) -> Any:
    return np.concatenate([rows[:1] ^ 1, rows[1:]])


def first(clients: int) -> Callable[[Any], Any]:
    return lambda bits: np.packbits([1] * clients)


LIES: list[tuple[str, dict[str, Callable[[Any], Any]], str]] = [
    ("deal", {"advertisements": without_last}, "keys of 5 neighbours, and 6 proofs, come for 6"),
    ("deal", {"proofs": without_last}, "keys of 6 neighbours, and 5 proofs, come for 6"),
    ("take", {"advertisements": without_last}, "an inbox does not hold as many keys as shares"),
    ("take", {"sealed": without_last}, "an inbox does not hold as many keys as shares"),
    ("take", {"commitments": without_last}, "an inbox does not hold as many keys as shares"),
    ("take", {"places": first_repeated}, "an inbox names a place that is none, or twice"),
    ("take", {"places": lambda places: places + COUNT}, "an inbox names a place that is none, or twice"),
    ("take", {"advertisements": other_keys}, "place 2 had other keys before"),
    ("add", {"dealt": first(COUNT + 1)}, "a set of places is none of 7 clients"),
    ("add", {"dealt": first(2 * COUNT)}, "a set of places is none of 7 clients"),
    ("confirm", {"present": first(COUNT)}, "somebody is present who does not take part in the sum"),
    ("confirm", {"tags": without_last}, "4 tags come for 5 clients"),
    ("show", {"signatures": without_last}, "5 signatures come for 6 neighbours"),
]


@pytest.mark.parametrize(("step", "fields", "said"), LIES)
def test_a_lie_of_the_cloud_is_refused(step: str, fields: dict[str, Callable[[Any], Any]], said: str) -> None:
    def lie(questions: dict[int, Any]) -> dict[int, Any]:
        return questions | {VICTIM: changed(questions[VICTIM], **fields)}

    parties = adders(COUNT)
    parties[AWAY] = failing("deal")(bytes([COUNT]) * 32)
    with attached(parties) as exchange:
        cloud = Cloud(exchange, COUNT, lies={step: lie})
        cloud.run()
    refused = {each.sentence for each in cloud.record.failures if each.node_id == nodes(COUNT)[VICTIM]}
    assert refused == {said}


def spoiling(step: str, **fields: Callable[[Any], Any]) -> type[Adder]:
    """A client that changes one of its answers."""
    real = getattr(Adder, step)

    def method(self: Adder, question: Any) -> Any:
        return changed(real(self, question), **fields)

    method.__annotations__ = dict(real.__annotations__)
    return type("Spoiling", (Adder,), {step: method})


SPOILT: list[tuple[type[Adder], str]] = [
    (spoiling("meet", places=first_repeated), "it has not drawn 6 others"),
    (spoiling("meet", places=without_last), "it has not drawn 6 others"),
    (spoiling("meet", places=lambda places: places - 1), "it has not drawn 6 others"),
    (spoiling("meet", places=lambda places: places + 1), "it has drawn somebody who is not there"),
    (spoiling("deal", sealed=without_last), "it has not dealt shares to 6 others and itself"),
    (spoiling("deal", commitments=without_last), "it has not dealt shares to 6 others and itself"),
    (spoiling("add", tags=without_last), "it sends 5 tags, and 6 are wanted"),
    (spoiling("show", shares=without_last), "it sends 5 shares, and 6 are wanted"),
]


@pytest.mark.parametrize(("role", "said"), SPOILT)
def test_an_answer_that_is_none_is_left_out(role: type[Adder], said: str) -> None:
    parties = adders(COUNT, role)
    with attached(parties) as exchange:
        cloud = Cloud(exchange, COUNT)
        record = cloud.run()
    assert [(each.node_id, each.sentence) for each in record.failures] == [(nodes(COUNT)[0], said)]
    counted = parties if record.failures[0].step == "show" else parties[1:]
    assert np.array_equal(record.total, plain(counted))
    assert record.present == nodes(COUNT)[COUNT - len(counted) :]


def test_who_has_too_few_holders_left_is_left_out_and_the_others_are_added() -> None:
    """Two others cannot open its shares, which may be their fault, and one is away: four of seven hold its secrets."""
    parties = adders(COUNT)
    poor = spoiling("deal", sealed=lambda rows: np.concatenate([rows[:2] ^ 1, rows[2:]]))
    parties[3], parties[AWAY] = poor(bytes([4]) * 32), failing("take")(bytes([COUNT]) * 32)
    with attached(parties) as exchange:
        record = Cloud(exchange, COUNT).run()
    left = [0, 1, 2, 4, 5]
    assert record.present == [nodes(COUNT)[place] for place in left]
    assert np.array_equal(record.total, plain([parties[place] for place in left]))


def test_a_client_counts_itself_how_many_are_present() -> None:
    """Over a sparse graph enough holders may be left in a set that is too small."""

    def fewer(questions: dict[int, Any]) -> dict[int, Any]:
        bits = np.packbits([1] * 73 + [0] * 37)
        return {place: changed(question, present=lambda present: bits) for place, question in questions.items()}

    with attached(adders(110)) as exchange:
        cloud = Cloud(exchange, 110, lies={"confirm": fewer})
        with pytest.raises(WorkflowFailed, match="0 of 110 clients confirmed"):
            cloud.run()
    assert any("73 of 110 clients are present" in each and "74 and " in each for each in cloud.refusals("confirm"))
