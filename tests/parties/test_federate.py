"""Clients led by Flower's strategies over our grids, sums that nobody may look into, and those who spoil both."""

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from flwr.serverapp import Grid

from parties.adversaries import ADVERSARIES
from parties.federate.client import Client
from parties.federate.workflow import STRATEGIES, Federate, FederateRecord, Federation
from parties.secure_sum.summing import SecureSum
from parties.workflow import WorkflowFailed
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID, task_identity
from protocol.grids import Envelope, LocalGrid, ObservedGrid
from protocol.messages.federate import Setting, TrainCall
from protocol.messages.secure_sum import Round
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
    model, record = learnt(clients(), "dp-sum", sigma=0.01 / 10**0.5, clipping=5.0)
    assert right(model) > 0.8
    assert record.survivors == [10, 10, 10]
    noisy, _ = learnt(clients(), "dp-sum", rounds=1, sigma=100.0 / 10**0.5, clipping=5.0)
    assert (to_row(noisy) - to_row(start())).std().item() == pytest.approx(100.0 * 5.0 / 10, rel=0.05)
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
        "fedavg", "fedprox", "krum", "trimmed-mean", "dp-clients", "dp-images", "dp-people", "secure-sum", "dp-sum",
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

    def test_a_client_without_numbers_leaves_none_where_they_are_averaged(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("parties.federate.checks.model_refusal", lambda *others: None)
        spoilt, _ = learnt(clients(cheats=1, cheat="non-finite-client"), "fedavg", rounds=1)
        assert to_row(spoilt).isnan().all()

    @pytest.mark.parametrize("strategy", ["fedavg", "secure-sum"])
    def test_a_client_without_numbers_is_a_failure_of_its_own(self, strategy: str) -> None:
        held, record = learnt(clients(cheats=1, cheat="non-finite-client"), strategy)
        assert right(held) > 0.9
        assert [node for _, node, _ in record.failures] == [FIRST_NODE_ID] * 3
        why = {"secure-sum": "a summand holds a number that is none"}.get(strategy, "holds numbers that are not finite")
        assert all(why in each.sentence for each in record.failures)


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

    def test_what_the_cloud_sees_of_a_client_is_noise(self) -> None:
        seen: list[Envelope] = []
        parties = clients(4)
        self.total(parties, seen)
        values = [each.content["arrays"]["values"].numpy() for each in seen if each.kind == "MaskedValues"]  # type: ignore[index,union-attr]
        assert len(values) == 4
        for row in values:
            assert abs((row / 2.0**64).mean() - 0.5) < 4.5 / np.sqrt(12 * len(row))
            assert len(np.unique(row)) == len(row)


def test_a_round_is_answered_in_one_way_and_not_in_two() -> None:
    """Four plain answers sum to what the secure sum hides."""
    with on_grid(clients(4)) as grid, reproducible(3, "fedavg"):
        for strategy, said in (("secure-sum", ""), ("fedavg", "behind masks already, and is not answered in the open")):
            federate = Federate(Federation("test", strategy, 1, SETTINGS, start(), 4), Exchange(grid))
            if not said:
                federate.run()
                continue
            with pytest.raises(WorkflowFailed, match=said):
                federate.run()
        Federate(Federation("another", "fedavg", 1, SETTINGS, start(), 4), Exchange(grid)).run()
        federate = Federate(Federation("another", "secure-sum", 1, SETTINGS, start(), 4), Exchange(grid))
        with pytest.raises(WorkflowFailed, match="0 of 4 clients were left in a sum"):
            federate.run()


class TestHiddenClients:
    def test_a_sum_without_the_noise_of_enough_others_is_refused(self) -> None:
        """The cloud has three of ten make keys, with noise that hides one among seven."""
        federation = Federation("test", "dp-sum", 1, SETTINGS, start(), 10, sigma=1.0)
        with on_grid(clients(3)) as grid:
            federate = Federate(federation, Exchange(grid))
            with pytest.raises(WorkflowFailed, match="0 of 3 clients were left in a sum"):
                federate.run()
        said = {failure.sentence for failure in federate.record.failures}
        assert any("3 of 3 clients take part in the sum" in each and "7 and 3 are needed" in each for each in said)

    def test_noise_is_of_one_question_alone(self) -> None:
        federation = Federation("test", "dp-sum", 1, SETTINGS, start(), 10, sigma=1.0)
        party, update = clients(1)[0], np.zeros(3)
        drawn = {}
        for number in (1, 2):
            settings = tuple(Setting(name=name, value=value) for name, value in federation.noise.items())
            asked = TrainCall(
                round=Round(training="test", number=number), model=np.zeros(3, np.float32), settings=settings
            )
            drawn[number] = party.integers(asked, update)
            assert np.array_equal(drawn[number], party.integers(asked, update))
        assert not np.array_equal(drawn[1], drawn[2])

    @pytest.mark.parametrize("sigma", [0.0, -1.0, 1e-12])
    def test_noise_that_is_none_is_refused(self, sigma: float) -> None:
        settings = (Setting(name="sum-sigma", value=sigma), Setting(name="sum-clipping", value=1.0))
        asked = TrainCall(round=ROUND, model=to_row(start()).numpy(), settings=settings)
        with pytest.raises(ValueError, match="noise"):
            clients(1)[0].summand(asked)


def test_a_model_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="another architecture: 3 numbers"):
        from_row(torch.zeros(3), start())
    client = clients(1)[0]
    with pytest.raises(ValueError, match="no setting learning_rate; its settings are epochs"):
        client.learn(start(), {"learning_rate": 1.0}, "test")
    with pytest.raises(ValueError, match="another architecture: 3 numbers"):
        client.summand(call(model=np.zeros(3, np.float32)))
