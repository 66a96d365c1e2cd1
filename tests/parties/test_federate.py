"""Clients led by Flower's strategies over our grids, sums that nobody may look into, and those who spoil both."""

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from flwr.serverapp import Grid

import parties.secure_sum.summand as summand_module
from parties.adversaries import ADVERSARIES
from parties.federate.client import Client
from parties.federate.workflow import STRATEGIES, Federate, FederateRecord, Federation
from parties.secure_sum.summand import Summand, UnsafeSum
from parties.secure_sum.summing import SecureSum
from parties.workflow import WorkflowFailed
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID, task_identity
from protocol.grids import Envelope, LocalGrid, ObservedGrid
from protocol.messages.federate import Setting, TrainCall
from protocol.messages.secure_sum import DealtShares, KeyCall, Peer, Roster, Round, ShowCall, ShownShares
from simulations.runs.seeding import reproducible
from strategies.learning.batches import accuracy
from strategies.learning.group_normalised import inputs_of, new_group_normalised
from strategies.learning.weights import Weights, from_row, to_row, weights
from strategies.privacy.secure_sum import quantise, restore

SETTINGS = {"epochs": 1.0, "batch": 10.0, "learning-rate": 0.1}
ROUND = Round(training="test", number=1)


def shades(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures that are darker or lighter, with noise: learnt within a round or two."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    pictures = generator.integers(0, 120, (count, 16, 16, 3)) + (135 * labels)[:, None, None, None]
    return pictures.astype(np.uint8), labels.astype(np.int64)


def clients(count: int = 10, cheats: int = 0, cheat: str = "", **settings: Any) -> list[Client]:
    found = []
    for number in range(count):
        role: Any = ADVERSARIES[cheat].cast(**settings) if number < cheats else Client
        found.append(role(bytes([number]) * 32, *shades(20, number), 2))
    return found


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    flower = logging.getLogger("flwr")
    before = flower.level
    flower.setLevel(logging.ERROR)
    yield
    flower.setLevel(before)


def start() -> Weights:
    return weights(new_group_normalised(2, torch.Generator().manual_seed(1)))


def learnt(parties: list[Client], strategy: str, rounds: int = 3, **settings: Any) -> tuple[Weights, FederateRecord]:
    told = settings.pop("settings", SETTINGS)
    federation = Federation("test", strategy, rounds, told, start(), len(parties), **settings)
    with LocalGrid([party.client_app() for party in parties]) as grid, task_identity(1), reproducible(3, strategy):
        record = Federate(federation, Exchange(grid)).run()
    return record.model, record


def right(model: Weights) -> float:
    network = new_group_normalised(2, torch.Generator())
    network.load_state_dict(model)
    pictures, labels = shades(200, 99)
    return accuracy(network.eval(), inputs_of(pictures), torch.from_numpy(labels))


@pytest.mark.parametrize("strategy", ["fedavg", "fedprox", "krum", "trimmed-mean", "secure-sum"])
def test_every_strategy_learns_and_the_seed_decides(strategy: str) -> None:
    own = {"fedprox": {"mu": 0.1}, "krum": {"malicious": 2}, "trimmed-mean": {"beta": 0.2}}.get(strategy, {})
    model, _ = learnt(clients(), strategy, **own)
    assert right(model) > 0.9
    assert torch.equal(to_row(model), to_row(learnt(clients(), strategy, **own)[0]))


def test_dp_strategies_add_noise_and_learn_with_little_of_it() -> None:
    for strategy, own in (
        ("dp-clients", {"sigma": 0.01, "clipping": 5.0}),
        ("dp-images", {"settings": SETTINGS | {"sigma": 0.1, "sampling-rate": 1.0, "steps": 3.0, "clipping": 1.0}}),
    ):
        model, _ = learnt(clients(), strategy, **own)
        assert right(model) > 0.8
    noisy, _ = learnt(clients(), "dp-clients", rounds=1, sigma=100.0, clipping=5.0)
    spread = (to_row(noisy) - to_row(start())).std().item()
    assert spread == pytest.approx(100.0 * 5.0 / 10, rel=0.05)  # Flower's noise: sigma x clipping / clients


def test_a_person_moves_a_model_no_further_than_one_clipped_gradient_however_many_pictures_it_is_in() -> None:
    """With hardly any noise, where all pictures are of one person: the learning rate times the clipping norm."""
    pictures, labels = shades(20, 1)
    told = SETTINGS | {"learning-rate": 0.5, "sigma": 1e-6, "sampling-rate": 1.0, "steps": 1.0, "clipping": 0.01}
    moved = {}
    for name, persons, more in (
        ("one person", np.zeros(20, np.int64), {"per-person": 20.0}),
        ("twenty people", np.arange(20), {"per-person": 20.0}),
        ("pictures", np.zeros(20, np.int64), {}),
    ):
        party = Client(bytes(32), pictures, labels, 2, persons)
        moved[name] = (to_row(party.learn(start(), told | more, "test")) - to_row(start())).norm().item()
    # The sum of the clipped gradients is divided by how many units there are: one, or twenty.
    assert moved["one person"] == pytest.approx(0.5 * 0.01, rel=0.02)
    assert moved["twenty people"] == pytest.approx(moved["pictures"], rel=0.02)
    assert moved["twenty people"] < 0.95 * moved["one person"]


def test_there_is_a_line_for_every_strategy() -> None:
    assert set(STRATEGIES) == {
        "fedavg", "fedprox", "krum", "trimmed-mean", "dp-clients", "dp-images", "dp-people", "secure-sum",
    }  # fmt: skip


class TestCheats:
    def test_poisoned_updates_undo_a_mean_but_not_a_trimmed_one(self) -> None:
        spoilt, _ = learnt(clients(cheats=2, cheat="model-poisoning-client", strength=20.0), "fedavg")
        held, _ = learnt(clients(cheats=2, cheat="model-poisoning-client", strength=20.0), "trimmed-mean", beta=0.2)
        chosen, _ = learnt(clients(cheats=2, cheat="model-poisoning-client", strength=20.0), "krum", malicious=2)
        assert right(spoilt) < 0.7
        assert right(held) > 0.9
        assert right(chosen) > 0.9

    def test_many_flipped_labels_turn_a_model_round(self) -> None:
        spoilt, _ = learnt(clients(cheats=7, cheat="label-flipping-client"), "fedavg")
        assert right(spoilt) < 0.2
        held, _ = learnt(clients(cheats=2, cheat="label-flipping-client"), "trimmed-mean", beta=0.2)
        assert right(held) > 0.9

    def test_free_riders_get_the_model_for_nothing_and_slow_it_down(self) -> None:
        moved, _ = learnt(clients(), "fedavg", rounds=1)
        slowed, _ = learnt(clients(cheats=5, cheat="free-riding-client"), "fedavg", rounds=1)
        ratio = (to_row(slowed) - to_row(start())).norm() / (to_row(moved) - to_row(start())).norm()
        assert 0.3 < ratio < 0.8


def on_grid(parties: list[Client], seen: list[Envelope] | None = None) -> Any:
    class Opened:
        def __enter__(self) -> Grid:
            self.bare = LocalGrid([party.client_app() for party in parties])
            self.identity = task_identity(1)
            self.identity.__enter__()
            return ObservedGrid(self.bare, (seen if seen is not None else []).append)

        def __exit__(self, *told: object) -> None:
            self.identity.__exit__(None, None, None)
            self.bare.close()

    return Opened()


def told() -> tuple[Setting, ...]:
    return tuple(Setting(name=name, value=value) for name, value in SETTINGS.items())


def call(round: Round = ROUND, model: np.ndarray | None = None) -> TrainCall:
    model = to_row(start()).numpy() if model is None else model
    return TrainCall(round=round, model=model, settings=told())


def plain_sum(parties: list[Client]) -> np.ndarray:
    """What the clients quantise, added up in the open."""
    like = start()
    total = np.zeros(1 + to_row(like).numel(), dtype=np.uint64)
    for party in parties:
        update = to_row(party.learn(like, SETTINGS, "test")) - to_row(like)
        total = total + quantise(np.concatenate([[20.0], 20 * update.double().numpy()]), 2.0**20)
    return restore(total)


def dropping(self: Any, asked: Any) -> Any:
    raise TimeoutError("no answer")


class TestSecureSum:
    def total(self, parties: list[Client], seen: list[Envelope] | None = None) -> Any:
        with on_grid(parties, seen) as grid:
            nodes = list(grid.get_node_ids())
            return SecureSum(Exchange(grid), nodes, call()).run()

    def test_masked_sums_equal_plain_sums_exactly(self) -> None:
        summed = self.total(clients(5))
        assert np.array_equal(summed.total, plain_sum(clients(5)))
        assert not summed.failures

    def test_and_so_they_do_when_three_in_ten_drop_out(self) -> None:
        parties = clients(10, 3, "dropping-client")
        summed = self.total(parties)
        assert np.array_equal(summed.total, plain_sum(parties[3:]))
        assert summed.present == list(range(FIRST_NODE_ID + 3, FIRST_NODE_ID + 10))
        assert [step for step, _, _ in summed.failures] == ["add"] * 3

    @pytest.mark.parametrize("step", ["keys", "deal", "add", "show"])
    def test_whoever_drops_out_at_any_step_leaves_an_exact_sum_of_the_others(self, step: str) -> None:
        """After its update is in the sum it counts, even if it shows no shares any more."""

        parties = clients(10)
        for party in parties[:3]:
            party.__class__ = type("Silent", (Client,), {step: dropping})
        summed = self.total(parties)
        counted = parties if step == "show" else parties[3:]
        assert np.array_equal(summed.total, plain_sum(counted))
        assert summed.present == [FIRST_NODE_ID + number for number in range(10) if parties[number] in counted]
        assert [failed for failed, _, _ in summed.failures] == [step] * 3

    def test_too_few_are_one_sentence(self) -> None:
        with pytest.raises(WorkflowFailed, match="4 of 10 clients were left in a sum, and 6 are needed"):
            self.total(clients(10, 6, "dropping-client"))

    @pytest.mark.parametrize("size", [0, 40])
    def test_shares_that_do_not_open_or_are_none_harm_nobody(self, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of a client that damages what it seals, or seals something else."""
        parties = clients(5)
        deal = Client.deal

        def broken(self: Any, roster: Roster) -> Any:
            if size:
                seal = summand_module.seal_shares
                with monkeypatch.context() as patch:
                    patch.setattr(summand_module, "seal_shares", lambda *others: seal(*others[:-1], bytes(size)))
                    return deal(self, roster)
            shares = [each.model_copy(update={"sealed": bytes(160)}) for each in deal(self, roster).shares]
            return DealtShares(shares=tuple(shares))

        parties[0].__class__ = type("Broken", (Client,), {"deal": broken, "add": dropping})
        with pytest.raises(WorkflowFailed, match="the mask key of place 1 do not give it back"):
            self.total(parties)
        parties[0].__class__ = type("Broken", (Client,), {"deal": broken})
        with on_grid(parties) as grid:
            summing = SecureSum(Exchange(grid), list(grid.get_node_ids()), call())
            with pytest.raises(WorkflowFailed, match="the own mask of place 1 do not give it back"):
                summing.run()
        assert not summing.record.failures

    def test_nobody_adds_to_a_sum_of_one(self) -> None:
        with pytest.raises(WorkflowFailed, match="1 of 1 clients made keys, and 2 are needed"):
            self.total(clients(1))
        with pytest.raises(UnsafeSum, match="a sum of one client is what it adds"):
            Summand(bytes([1]) * 32, ROUND).deal(self.roster(count=1, threshold=1))

    def test_where_too_few_have_dealt_nobody_is_asked_to_add(self) -> None:
        parties = clients(5)
        for party in parties[:3]:
            party.__class__ = type("Silent", (Client,), {"deal": dropping})
        with on_grid(parties) as grid:
            summing = SecureSum(Exchange(grid), list(grid.get_node_ids()), call())
            with pytest.raises(WorkflowFailed, match="2 of 5 clients dealt shares, and 3 are needed"):
                summing.run()
        assert {each.node_id for each in summing.record.failures} == {FIRST_NODE_ID + number for number in range(3)}

    def test_what_the_cloud_sees_of_a_client_is_noise(self) -> None:
        seen: list[Envelope] = []
        parties = clients(4)
        self.total(parties, seen)
        values = [each.content["arrays"]["values"].numpy() for each in seen if each.kind == "MaskedValues"]  # type: ignore[index,union-attr]
        assert len(values) == 4
        for row in values:
            assert abs((row / 2.0**64).mean() - 0.5) < 4.5 / np.sqrt(12 * len(row))
            assert len(np.unique(row)) == len(row)

    def roster(self, count: int = 3, threshold: int = 2) -> Roster:
        peers = tuple(
            Peer(place=place, keys=Summand(bytes([place]) * 32, ROUND).keys()) for place in range(1, count + 1)
        )
        return Roster(round=ROUND, you=1, threshold=threshold, peers=peers)

    def test_a_cloud_that_asks_for_both_shares_of_a_client_is_refused(self) -> None:
        summand = Summand(bytes([1]) * 32, ROUND)
        for asked in (
            ShowCall(round=ROUND, present=(1, 2, 3), absent=(3,), shares=()),
            ShowCall(round=ROUND, present=(1,), absent=(2, 3), shares=()),
            ShowCall(round=ROUND, present=(2, 3), absent=(), shares=()),
        ):
            with pytest.raises(UnsafeSum, match="present"):
                summand.show(asked, self.roster())

    def test_a_cloud_that_asks_twice_gets_no_second_answer(self) -> None:
        with on_grid(clients(4)) as grid:
            exchange = Exchange(grid)
            SecureSum(exchange, list(grid.get_node_ids()), call()).run()
            other = ShowCall(round=ROUND, present=(1, 2, 3), absent=(4,), shares=())

            replies = exchange.ask("show", {FIRST_NODE_ID: other}, ShownShares)
        assert "other shares of this sum were shown already" in replies.failures[FIRST_NODE_ID]

    def test_a_cloud_that_has_something_else_added_to_the_same_sum_or_an_older_one_is_refused(self) -> None:
        with on_grid(clients(4)) as grid:
            exchange, nodes = Exchange(grid), list(grid.get_node_ids())
            later = Round(training="test", number=2)
            for each in (ROUND, later):
                SecureSum(exchange, nodes, call(each)).run()
            nothing = np.zeros_like(to_row(start()).numpy())
            for each in (ROUND, later):
                with pytest.raises(WorkflowFailed, match="0 of 4 clients were left in a sum"):
                    SecureSum(exchange, nodes, call(each, nothing)).run()
            other = SecureSum(exchange, nodes, call(Round(training="another", number=1), nothing)).run()
        assert other.present == nodes

    def test_shares_are_shown_for_a_sum_that_was_added_to_alone(self) -> None:
        with on_grid(clients(4)) as grid:
            replies = Exchange(grid).ask(
                "show", {FIRST_NODE_ID: ShowCall(round=ROUND, present=(1, 2, 3), absent=(), shares=())}, ShownShares
            )
        assert "nothing was added to this sum" in replies.failures[FIRST_NODE_ID]

    def test_another_training_in_between_does_not_make_a_client_forget_what_it_has_shown(self) -> None:
        with on_grid(clients(4)) as grid:
            exchange, nodes = Exchange(grid), list(grid.get_node_ids())
            SecureSum(exchange, nodes, call()).run()
            SecureSum(exchange, nodes, call(Round(training="another", number=1))).run()
            other = ShowCall(round=ROUND, present=(1, 2, 3), absent=(4,), shares=())
            replies = exchange.ask("show", {FIRST_NODE_ID: other}, ShownShares)
        assert "other shares of this sum were shown already" in replies.failures[FIRST_NODE_ID]

    def test_a_roster_without_this_clients_keys_or_with_a_low_threshold_is_refused(self) -> None:
        with pytest.raises(UnsafeSum, match="does not list this client's keys"):
            Summand(bytes([9]) * 32, ROUND).deal(self.roster())
        with pytest.raises(UnsafeSum, match="1 of 3 clients could remove masks"):
            Summand(bytes([1]) * 32, ROUND).deal(self.roster(threshold=1))

    def test_keys_are_of_one_round(self) -> None:
        one, other = (Summand(bytes(32), Round(training="test", number=number)).keys() for number in (1, 2))
        assert one != other
        assert one == Summand(bytes(32), ROUND).keys()
        assert KeyCall(round=ROUND).round.number == 1


def test_a_model_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="another architecture: 3 numbers"):
        from_row(torch.zeros(3), start())
    client = clients(1)[0]
    with pytest.raises(ValueError, match="no setting learning_rate; its settings are epochs"):
        client.learn(start(), {"learning_rate": 1.0}, "test")
    client.memory.keep("roster test", TestSecureSum().roster())
    with pytest.raises(ValueError, match="another architecture: 3 numbers"):
        client.add(call(model=np.zeros(3, np.float32)))
