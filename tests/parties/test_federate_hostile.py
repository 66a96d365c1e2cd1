"""Clients that send no model, or no summand: each is a failure of its own, and the others' training goes on."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict

from parties.federate.client import Client
from parties.federate.workflow import Federate, FederateRecord, Federation
from parties.secure_sum.summing import SecureSum, Summed
from parties.workflow import WorkflowFailed
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID, task_identity
from protocol.grids import LocalGrid
from protocol.messages.federate import Setting, TrainCall
from protocol.messages.secure_sum import Advertisement, MaskedValues, Round, ShownShares
from simulations.runs.seeding import reproducible
from strategies.learning.group_normalised import new_group_normalised
from strategies.learning.weights import Weights, to_row, weights

SETTINGS = {"epochs": 1.0, "batch": 10.0, "learning-rate": 0.1}
HOSTILE, HONEST = 1, 4
"""How many clients cheat; they have the first places."""

Tampering = Callable[[RecordDict], None]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    flower = logging.getLogger("flwr")
    before = flower.level
    flower.setLevel(logging.ERROR)
    yield
    flower.setLevel(before)


def client(number: int, role: type[Client] = Client) -> Client:
    labels = np.arange(10) % 2
    pictures = np.random.default_rng(number).integers(0, 120, (10, 12, 12, 3)) + (135 * labels)[:, None, None, None]
    return role(bytes([number]) * 32, pictures.astype(np.uint8), labels.astype(np.int64), 2)


def start() -> Weights:
    return weights(new_group_normalised(2, torch.Generator().manual_seed(1)))


def sending(tampering: Tampering) -> Any:
    """A client whose answer is tampered with just before it is sent."""

    def mod(message: Message, context: Context, app: Any) -> Message:
        reply: Message = app(message, context)
        if message.metadata.message_type == "train":
            tampering(reply.content)
        return reply

    return client(0).client_app([mod])


def learnt(strategy: str, *tamperings: Tampering, honest: int = HONEST, rounds: int = 2, **own: Any) -> FederateRecord:
    apps = [sending(each) for each in tamperings] + [client(number).client_app() for number in range(1, honest + 1)]
    federation = Federation("test", strategy, rounds, SETTINGS, start(), len(apps), **own)
    with LocalGrid(apps) as grid, task_identity(1), reproducible(3, strategy):
        return Federate(federation, Exchange(grid)).run()


def arrays(change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Tampering:
    def tamper(content: RecordDict) -> None:
        changed = change({name: array.numpy().copy() for name, array in content["arrays"].items()})  # type: ignore[union-attr]
        content["arrays"] = ArrayRecord({name: Array(value) for name, value in changed.items()})

    return tamper


def first(change: Callable[[np.ndarray], np.ndarray]) -> Tampering:
    """Change the first parameter."""

    def changed(model: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        name = next(iter(model))
        return model | {name: change(model[name])}

    return arrays(changed)


def filled(value: float) -> Tampering:
    return first(lambda array: np.full_like(array, value))


def examples(*value: object) -> Tampering:
    """Say another number of images, or none."""

    def tamper(content: RecordDict) -> None:
        record = MetricRecord()
        for each in value:
            vars(record)["_data"]["num-examples"] = each  # Flower's record refuses to hold some of them
        content["metrics"] = record

    return tamper


def without(name: str) -> Tampering:
    def tamper(content: RecordDict) -> None:
        del content[name]

    return tamper


UNUSABLE: dict[str, tuple[Tampering, str]] = {
    "not a number": (filled(float("nan")), "numbers that are not finite"),
    "infinite": (filled(float("inf")), "numbers that are not finite"),
    "huge": (filled(3e38), "farther than any training leads"),
    "one huge number": (first(lambda a: np.where(np.arange(a.size).reshape(a.shape) == 0, 1e9, a).astype(a.dtype)),
                        "farther than any training leads"),
    "another shape": (first(lambda array: array[:1]), "not float32 of"),
    "flat": (first(lambda array: array.ravel()), "not float32 of"),
    "a number alone": (first(lambda array: np.array(0, array.dtype)), "not float32 of"),
    "float64": (first(lambda array: array.astype(np.float64)), "is float64"),
    "integers": (first(lambda array: array.astype(np.int32)), "is int32"),
    "another name": (arrays(lambda model: {f"{name}x": value for name, value in model.items()}),
                     "does not have the parameters"),
    "one missing": (arrays(lambda model: dict(list(model.items())[1:])), "does not have the parameters"),
    "one more": (arrays(lambda model: model | {"more": np.zeros(3, np.float32)}), "does not have the parameters"),
    "another order": (arrays(lambda model: dict(reversed(model.items()))), "does not have the parameters"),
    "no arrays": (without("arrays"), "does not have the parameters"),
    "no images": (examples(0), "on how many images"),
    "fewer than no images": (examples(-1), "on how many images"),
    "more images than there are": (examples(10**12), "on how many images"),
    "half an image": (examples(0.5), "on how many images"),
    "yes": (examples(True), "on how many images"),
    "many numbers": (examples([1, 2]), "on how many images"),
    "no number": (examples(), "on how many images"),
    "no metrics": (without("metrics"), "on how many images"),
}  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed() -> Weights:
    """What the honest ones learn on their own."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    return learnt("fedavg").model


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_client_that_sends_no_model_is_a_failure_of_its_own(name: str, undisturbed: Weights) -> None:
    tampering, why = UNUSABLE[name]
    record = learnt("fedavg", tampering)
    assert [(step, node) for step, node, _ in record.failures] == [("train", FIRST_NODE_ID)] * 2
    assert all(why in reason for _, _, reason in record.failures), record.failures
    assert torch.equal(to_row(record.model), to_row(undisturbed))


def test_without_the_check_such_a_client_destroys_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parties.federate.checks.model_refusal", lambda *others: None)
    record = learnt("fedavg", UNUSABLE["not a number"][0])
    assert to_row(record.model).isnan().any()
    moved = (to_row(learnt("fedavg", UNUSABLE["huge"][0], rounds=1).model) - to_row(start())).double().norm()
    assert moved > 1e30


@pytest.mark.parametrize(
    ("strategy", "own"),
    [
        ("fedprox", {"mu": 0.1}),
        ("krum", {"malicious": 1}),
        ("trimmed-mean", {"beta": 0.2}),
        ("dp-clients", {"sigma": 0.01, "clipping": 5.0}),
    ],
)
@pytest.mark.parametrize("name", ["not a number", "another shape", "another name", "no metrics"])
def test_every_strategy_goes_on_without_it(strategy: str, own: dict[str, Any], name: str) -> None:
    def raising(content: RecordDict) -> None:
        raise TimeoutError("no answer")

    record = learnt(strategy, UNUSABLE[name][0], raising, honest=5, **own)
    assert {node for _, node, _ in record.failures} == {FIRST_NODE_ID, FIRST_NODE_ID + 1}
    assert to_row(record.model).isfinite().all()
    assert not torch.equal(to_row(record.model), to_row(start()))


@pytest.mark.parametrize("step", [0.0, 1e-30])
def test_an_update_of_nothing_is_not_clipped(step: float) -> None:
    """Flower would divide by its norm, which is zero, or rounded to that."""

    def move_by(content: RecordDict) -> None:
        still = {name: value.numpy().copy() for name, value in start().items()}
        for array in still.values():
            array[array == 0] = step
        content["arrays"] = ArrayRecord({name: Array(value) for name, value in still.items()})

    record = learnt("dp-clients", move_by, rounds=1, sigma=0.01)
    assert [(node, why) for _, node, why in record.failures] == [
        (FIRST_NODE_ID, "its model is the one it was sent, and an update of nothing cannot be clipped")
    ]
    assert not torch.equal(to_row(record.model), to_row(start()))


@pytest.mark.parametrize("strategy", ["fedavg", "dp-clients", "krum"])
def test_clients_none_of_which_sends_a_model_are_one_sentence(strategy: str) -> None:
    own: dict[str, Any] = {"dp-clients": {"sigma": 0.01}}.get(strategy, {})
    with pytest.raises(WorkflowFailed, match=r"^test: no client sent a model that can be used; the first: .+$"):
        learnt(strategy, *(UNUSABLE[name][0] for name in ("not a number", "another shape", "yes")), honest=0, **own)


class Leaving(LocalGrid):
    """Has one client less whenever it is asked who is there."""

    asked = 0

    def get_node_ids(self) -> list[int]:
        self.asked += 1
        return super().get_node_ids()[: 1 - self.asked or None]


def test_a_client_that_leaves_is_not_waited_for() -> None:
    """Flower's own strategies wait for ever until as many are there as at first."""
    apps = [client(number).client_app() for number in range(HONEST)]
    federation = Federation("test", "fedavg", 2, SETTINGS, start(), HONEST)
    with Leaving(apps) as grid, task_identity(1), reproducible(3, "fedavg"):
        record = Federate(federation, Exchange(grid)).run()
    assert not torch.equal(to_row(record.model), to_row(start()))


def test_fewer_clients_than_are_to_train_are_one_sentence() -> None:
    apps = [client(number).client_app() for number in range(2)]
    federation = Federation("test", "fedavg", 2, SETTINGS, start(), HONEST)
    with (
        LocalGrid(apps) as grid,
        task_identity(1),
        pytest.raises(WorkflowFailed, match=r"^test: 2 clients are there, and 4 are to train$"),
    ):
        Federate(federation, Exchange(grid)).run()


class Short(Client):
    """Adds one value less than it should."""

    def add(self, call: TrainCall) -> MaskedValues:
        masked = super().add(call)
        return masked.model_copy(update={"values": masked.values[:-1].copy()})


class LowOrder(Client):
    """Sends keys of low order: every secret that is agreed on with them is zero."""

    def keys(self, call: Any) -> Advertisement:
        return super().keys(call).model_copy(update={"masks": bytes(32), "shares": bytes(32)})


class LowOrderMasks(Client):
    """Sends such a key for masks alone."""

    def keys(self, call: Any) -> Advertisement:
        return super().keys(call).model_copy(update={"masks": bytes(32)})


class FalseShares(Client):
    """Shows shares that nobody dealt."""

    def show(self, call: Any) -> ShownShares:
        shown = super().show(call)
        return ShownShares(own=shown.own, shares=np.full_like(shown.shares, 7))


class Junk(Client):
    """Adds noise of the whole range."""

    def add(self, call: TrainCall) -> MaskedValues:
        masked = super().add(call)
        values = np.random.default_rng(1).integers(0, 2**64, len(masked.values), dtype=np.uint64)
        return masked.model_copy(update={"values": values})


class Absent(Client):
    """Does not add, so that shares of its key have to be shown."""

    def add(self, call: TrainCall) -> MaskedValues:
        raise TimeoutError("no answer")


def summed(*roles: type[Client], honest: int = HONEST) -> Summed:
    parties = [client(number, role) for number, role in enumerate([*roles, *[Client] * honest], 1)]
    told = tuple(Setting(name=name, value=value) for name, value in SETTINGS.items())
    call = TrainCall(round=Round(training="test", number=1), model=to_row(start()).numpy(), settings=told)
    with LocalGrid([party.client_app() for party in parties]) as grid, task_identity(1):
        return SecureSum(Exchange(grid), list(grid.get_node_ids()), call).run()


@pytest.mark.parametrize(
    ("role", "step", "why"),
    [
        (Short, "add", "values, and a summand has 14675"),
        (LowOrder, "keys", "none that a secret can be agreed on with"),
        (LowOrderMasks, "keys", "none that a secret can be agreed on with"),
    ],
)
def test_a_summand_that_cannot_be_used_is_a_failure_of_its_own(role: type[Client], step: str, why: str) -> None:
    record = summed(role)
    assert [(failed, node) for failed, node, _ in record.failures] == [(step, FIRST_NODE_ID)]
    assert why in record.failures[0][2]
    assert record.present == list(range(FIRST_NODE_ID + 1, FIRST_NODE_ID + 1 + HONEST))
    assert record.total[0] == 10 * HONEST
    others = summed(Absent)
    assert np.array_equal(record.total, others.total)


def test_who_shows_false_shares_is_known_and_the_sum_goes_on() -> None:
    record = summed(FalseShares)
    assert [(failed, node) for failed, node, _ in record.failures] == [("show", FIRST_NODE_ID)]
    assert record.total[0] == 10 * (HONEST + 1)


@pytest.mark.parametrize("roles", [(FalseShares, Absent), (Junk,), (Junk, Absent)])
def test_a_summand_that_nobody_can_tell_from_others_ends_the_sum_in_one_sentence(
    roles: tuple[type[Client], ...],
) -> None:
    with pytest.raises(WorkflowFailed, match=r"give it back|out of range") as failed:
        summed(*roles)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("role", [Short, LowOrder, LowOrderMasks, FalseShares, Junk])
def test_a_sum_of_nothing_but_cheats_is_one_sentence(role: type[Client]) -> None:
    with pytest.raises(WorkflowFailed):
        summed(*[role] * 3, honest=0)


def test_a_training_by_sums_goes_on_without_who_sends_no_summand_and_ends_where_all_do() -> None:
    def trained(*roles: type[Client], honest: int) -> FederateRecord:
        parties = [client(number, role) for number, role in enumerate([*roles, *[Client] * honest], 1)]
        federation = Federation("test", "secure-sum", 2, SETTINGS, start(), len(parties))
        with LocalGrid([party.client_app() for party in parties]) as grid, task_identity(1):
            return Federate(federation, Exchange(grid)).run()

    record = trained(Short, honest=HONEST)
    assert [(step, node) for step, node, _ in record.failures] == [("add", FIRST_NODE_ID)] * 2
    assert to_row(record.model).isfinite().all()
    assert not torch.equal(to_row(record.model), to_row(start()))
    with pytest.raises(WorkflowFailed, match=r"^test: 0 of 3 clients were left in a sum, and 3 are needed"):
        trained(Short, Short, Short, honest=0)
