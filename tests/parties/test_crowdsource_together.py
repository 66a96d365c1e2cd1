"""Participants who train an extractor together: what they agree to, what they add, what the collector gets to see."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from parties.crowdsource.participant import Participant
from parties.crowdsource.plan import recipe_of, sign_plan, training_of
from parties.crowdsource.training import JointTraining
from parties.workflow import Failure, WorkflowFailed
from protocol.crypto.signing import SigningKey
from protocol.errors import ProtocolError
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID, task_identity
from protocol.grids import Envelope, LocalGrid, ObservedGrid
from protocol.messages.crowdsource import GradientRequest, TrainingPlan
from protocol.messages.secure_sum import Round
from strategies.pric.federated import Leader, gradients, players_of, row_of
from strategies.pric.training import new_players

KEY = SigningKey.derive(bytes(32), "identity")
PLAN = TrainingPlan(
    number=1, architecture="compact", side=16, hides=("Eyeglasses",), warm_up=1, weight=1.0, bound="decoder",
    conditional=True, ascent="entropy",
)  # fmt: skip
RECIPE = recipe_of(PLAN)


def album(number: int, pictures: int = 3) -> list[np.ndarray]:
    return list(np.random.default_rng(number).integers(256, size=(pictures, 16, 16, 3), dtype=np.uint8))


def labels(number: int, pictures: int = 3) -> np.ndarray:
    return np.random.default_rng(number).random((pictures, 2)) < 0.5


def participant(number: int, role: type[Participant] = Participant, **changes: Any) -> Participant:
    settings: dict[str, Any] = {
        "album": album(number, number),
        "attributes": ("Male", "Eyeglasses"),
        "labels": labels(number, number),
        "collector": KEY.public,
        "hidden": ("Eyeglasses",),
    }
    return role(bytes([number]) * 32, **(settings | changes))


def leader() -> Leader:
    return Leader(new_players("compact", RECIPE, 1, torch.Generator().manual_seed(1)), RECIPE)


def trained(
    parties: Sequence[Participant], rounds: int = 1, called: int = 100, seen: list[Envelope] | None = None,
) -> tuple[np.ndarray, list[Failure]]:  # fmt: skip
    """Train together; return the networks in a row, and what failed."""
    observe = (lambda envelope: None) if seen is None else seen.append
    led = leader()
    with LocalGrid([party.client_app() for party in parties]) as grid, task_identity(1):
        exchange = Exchange(ObservedGrid(grid, observe))
        generator = np.random.default_rng(1)
        record = JointTraining(sign_plan(PLAN, KEY), led, exchange, rounds, called, generator, patience=60.0).run()
    return row_of(led.players), record.failures


def test_a_round_is_a_step_with_the_mean_of_what_everybody_told_weighted_with_pictures() -> None:
    row, failures = trained([participant(number) for number in (1, 2, 5)], rounds=2)
    alone = leader()
    for warm_up in (True, False):
        told = [
            number * next(gradients(alone.players, [participant(number).labelled(PLAN)], RECIPE, warm_up=warm_up))
            for number in (1, 2, 5)
        ]
        alone.step(np.sum(told, axis=0) / 8)
    # Sums are in steps of 2^-24, and Adam makes much of little.
    assert (abs(row - row_of(alone.players)) < 1e-4).mean() > 0.99
    assert not failures


def test_who_is_called_trains_and_nobody_else() -> None:
    seen: list[Envelope] = []
    trained([participant(number) for number in range(1, 8)], rounds=3, called=4, seen=seen)
    asked = [each.target for each in seen if each.kind == "GradientRequest"]
    assert len(asked) == 12
    assert len(set(asked)) > 4


def test_the_collector_sees_no_picture_no_private_label_and_no_single_update() -> None:
    seen: list[Envelope] = []
    trained([participant(number) for number in (2, 3, 4)], seen=seen)
    said = {each.kind for each in seen if each.source != 1}
    assert {
        "Introduction", "Acknowledgement", "Advertisement", "Chosen", "DealtShares", "TakenShares", "MaskedValues",
        "Confirmation", "ShownShares",
    } == {
        kind
        for kind in said
        if kind
        not in {
            "Hello", "SignedTrainingPlan", "KeyCall", "Crowd", "Neighbours", "Inbox", "GradientRequest",
            "Present", "ShowCall",
        }
    }  # fmt: skip
    rows = [each.content["arrays"]["values"].numpy() for each in seen if each.kind == "MaskedValues"]  # type: ignore[index,union-attr]
    for row in rows:
        assert abs((row / 2.0**64).mean() - 0.5) < 4.5 / np.sqrt(12 * len(row))


def test_who_drops_out_is_missing_from_the_sum_and_too_many_are_one_sentence() -> None:
    class Silent(Participant):
        def add(self, call: Any) -> Any:
            raise TimeoutError("no answer")

    row, failures = trained([participant(1, Silent), *(participant(number) for number in (2, 3, 4, 5))])
    assert [(step, node_id) for step, node_id, _ in failures] == [("add", FIRST_NODE_ID)]
    assert np.array_equal(row, trained([participant(number) for number in (2, 3, 4, 5)])[0])
    with pytest.raises(WorkflowFailed, match="1 of 3 clients were left in a sum, and 3 are needed"):
        trained([participant(1, Silent), participant(2, Silent), participant(3)])


def test_an_album_that_does_not_open_adds_nothing() -> None:
    with_it = trained([participant(6, album=[], labels=labels(6, 0)), *(participant(number) for number in (2, 3, 4))])
    without = trained([participant(number) for number in (2, 3, 4)])
    assert np.array_equal(with_it[0], without[0])


def test_networks_are_put_together_once_for_all_who_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    many: list[int] = []

    def counted(row: np.ndarray, *told: Any) -> Any:
        many.append(len(row))
        return players_of(row, *told)

    monkeypatch.setattr("parties.crowdsource.participant.players_of", counted)
    trained([participant(number) for number in range(1, 8)], rounds=3)
    assert len(many) == 3


class TestRefusals:
    def test_plans_of_others_or_that_hide_too_little_or_something_unknown(self) -> None:
        others = [participant(number) for number in (2, 3, 4)]
        changes: dict[str, Any]
        for changes, said in (
            ({"collector": bytes(range(32))}, "the plan is not signed by the collector whom this participant trusts"),
            ({"hidden": ("Eyeglasses", "Young")}, "the extractor is not meant to hide Young"),
            ({"attributes": ("Male", "Young")}, "this participant does not know of Eyeglasses"),
        ):
            party = participant(1, **changes)
            _, failures = trained([party, *others])
            assert [(step, node_id) for step, node_id, _ in failures] == [("enlist", FIRST_NODE_ID)]
            assert failures[0][2].strip().endswith(said)
            with pytest.raises(ProtocolError, match=said):
                party.add(call())

    def test_plans_with_unknown_names(self) -> None:
        for change, said in (
            ({"architecture": "deep"}, "there is no extractor 'deep' here; there are compact, vgg16"),
            ({"bound": "tight"}, "there is no bound 'tight' here; there are global, local, decoder"),
            ({"side": 18}, "sides of pictures are divisible by 4, and 18 is not"),
        ):
            with pytest.raises(ProtocolError, match=said):
                recipe_of(PLAN.model_copy(update=change))
        with pytest.raises(ValidationError):
            TrainingPlan.model_validate({**PLAN.model_dump(), "ascent": "none"})

    def test_a_sum_of_another_training(self) -> None:
        with pytest.raises(ProtocolError, match="the sum is not of the training that is planned"):
            participant(2).add(call(training=training_of(PLAN.model_copy(update={"number": 2}))))


def call(training: str = training_of(PLAN)) -> GradientRequest:
    round = Round(training=training, number=1)
    return GradientRequest(round=round, model=row_of(leader().players), signed=sign_plan(PLAN, KEY))
