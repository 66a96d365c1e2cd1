"""A collector and its participants: what crosses the wire, what is refused, who cheats."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from parties.adversaries import ADVERSARIES
from parties.crowdsource.collector import Collector
from parties.crowdsource.participant import Participant
from parties.crowdsource.publication import extractor_of
from parties.crowdsource.workflow import Crowdsource, CrowdsourceRecord
from parties.party import Party
from protocol.encoding.canonical import canonical
from protocol.errors import ProtocolError
from protocol.exchange import Exchange
from protocol.flower import task_identity
from protocol.grids import Envelope, LocalGrid, ObservedGrid, RayGrid
from strategies.learning.weights import fingerprint
from strategies.pric.encoding import encode
from strategies.pric.networks import new_extractor

ATTRIBUTES = ("Eyeglasses", "Male", "Smiling")
EXTRACTOR = new_extractor("compact", torch.Generator().manual_seed(1)).eval()
COLLECTOR = Collector(bytes(32), EXTRACTOR, "compact", 16, ("Eyeglasses",), ("Male", "Smiling"))


def album(number: int, pictures: int = 3) -> list[np.ndarray]:
    return list(np.random.default_rng(number).integers(256, size=(pictures, 16, 16, 3), dtype=np.uint8))


def labels(number: int, pictures: int = 3) -> np.ndarray:
    return np.random.default_rng(number).random((pictures, 3)) < 0.5


def participant(number: int, role: type[Participant] = Participant, **changes: Any) -> Participant:
    settings: dict[str, Any] = {
        "album": album(number),
        "attributes": ATTRIBUTES,
        "labels": labels(number),
        "collector": COLLECTOR.identity.public,
        "hidden": ("Eyeglasses",),
    }
    return role(bytes([number]) * 32, **(settings | changes))


def crowdsourced(
    parties: Sequence[Party], collector: Collector = COLLECTOR, envelopes: list[Envelope] | None = None
) -> CrowdsourceRecord:
    observe = (lambda envelope: None) if envelopes is None else envelopes.append
    with LocalGrid([party.client_app() for party in parties]) as grid, task_identity(1):
        return Crowdsource(collector, Exchange(ObservedGrid(grid, observe))).run()


def reasons(record: CrowdsourceRecord) -> list[str]:
    return [failure.sentence for failure in record.failures]


class TestRound:
    def test_the_collector_has_what_the_extractor_makes_of_each_picture(self) -> None:
        record = crowdsourced([participant(number) for number in range(5)])
        pictures = np.concatenate([np.stack(album(number)) for number in range(5)])
        alone = encode(EXTRACTOR, pictures)
        assert not record.failures
        assert record.representations() == pytest.approx(alone, abs=float(alone.max()) / 500)
        kept, said = record.labelled()
        assert torch.equal(kept, record.representations())
        assert (said == np.concatenate([labels(number)[:, 1:] for number in range(5)])).all()

    def test_numbers_are_exact_and_codes_take_a_quarter_of_their_bytes(self) -> None:
        exact: list[Envelope] = []
        record = crowdsourced([participant(1)], replace(COLLECTOR, quantised=False), exact)
        coded: list[Envelope] = []
        crowdsourced([participant(1)], COLLECTOR, coded)
        assert torch.equal(record.representations(), encode(EXTRACTOR, np.stack(album(1))))
        sizes = [sum(each.size for each in part if each.kind == "Contribution") for part in (exact, coded)]
        assert sizes[1] < 0.35 * sizes[0]

    def test_pictures_of_any_size_are_cut_and_those_that_do_not_open_are_counted(self) -> None:
        odd = [album(1)[0], np.zeros((40, 30, 3), np.uint8)]
        record = crowdsourced(
            [participant(1, album=odd, labels=labels(1, 2)), participant(2, album=[], labels=labels(2, 0))]
        )
        assert not record.failures
        assert [len(each) for each in record.contributions.values()] == [2, 0]
        assert len(record.labels) == 1

    def test_one_forward_pass_serves_all_participants_of_a_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes: list[int] = []

        def counted(extractor: torch.nn.Module, pictures: np.ndarray) -> torch.Tensor:
            sizes.append(len(pictures))
            return encode(extractor, pictures)

        monkeypatch.setattr("parties.crowdsource.participant.encode", counted)
        crowdsourced([participant(number) for number in range(6)])
        assert sizes == [18]

    @pytest.mark.slow
    def test_ray_workers_send_the_same(self) -> None:
        def over(grid: Any) -> CrowdsourceRecord:
            with grid, task_identity(1):
                return Crowdsource(COLLECTOR, Exchange(grid)).run()

        apps = [participant(number).client_app() for number in range(7)]
        here, there = over(LocalGrid(apps)), over(RayGrid(apps, workers=2))
        assert torch.equal(here.representations(), there.representations())


class TestRefusals:
    def test_another_collectors_extractor(self) -> None:
        record = crowdsourced([participant(1, collector=bytes(range(32)))])
        assert reasons(record) == ["the extractor is not signed by the collector whom this participant trusts"]

    def test_an_extractor_that_is_not_said_to_hide_enough(self) -> None:
        record = crowdsourced([participant(1, hidden=("Eyeglasses", "Young"))])
        assert reasons(record) == ["the extractor is not said to hide Young"]

    def test_an_older_extractor_than_the_last_one(self) -> None:
        party = participant(1)
        party.contribute(replace(COLLECTOR, number=3).publication())
        with pytest.raises(ProtocolError, match="extractor 2 is older than number 3"):
            party.contribute(replace(COLLECTOR, number=2).publication())

    def test_labels_of_what_is_hidden(self) -> None:
        record = crowdsourced([participant(1)], replace(COLLECTOR, tasks=("Male", "Eyeglasses")))
        assert reasons(record) == ["a label of Eyeglasses is asked for, which is to be hidden"]
        assert len(record.contributions) == 1

    def test_labels_before_representations_or_for_others(self) -> None:
        party, call = participant(1), COLLECTOR.call(bytes(32))
        with pytest.raises(ProtocolError, match="sent no representations"):
            party.label(call)
        party.contribute(COLLECTOR.publication())
        with pytest.raises(ProtocolError, match="representations of another extractor"):
            party.label(call)
        with pytest.raises(ProtocolError, match="not signed"):
            party.label(call.model_copy(update={"signature": bytes(64)}))

    def test_weights_that_are_none(self) -> None:
        publication = COLLECTOR.publication().publication
        assert fingerprint(extractor_of(publication)) == fingerprint(EXTRACTOR)
        for change in ({"weights": b"nothing"}, {"architecture": "vgg16"}, {"architecture": "deep"}, {"side": 18}):
            with pytest.raises(ProtocolError):
                extractor_of(publication.model_copy(update=change))

    def test_the_collector_takes_no_other_shape_and_no_other_extractors(self) -> None:
        class Liar(Participant):
            def contribute(self, signed: Any) -> Any:
                told = super().contribute(signed)
                return told.model_copy(update=self.change)

        class Narrow(Liar):
            change = {"codes": np.zeros((3, 1, 4, 4), np.uint8)}  # noqa: RUF012

        class Stale(Liar):
            change = {"publication": bytes(32)}  # noqa: RUF012

        record = crowdsourced([participant(1, Narrow), participant(2, Stale), participant(3)])
        assert len(record.contributions) == 1
        assert reasons(record) == [
            "representations of shape (1, 4, 4) came, and (32, 4, 4) is expected",
            "the representations are of another extractor",
        ]

    def test_labels_that_do_not_fit(self) -> None:
        class Short(Participant):
            def said(self, labels: np.ndarray) -> np.ndarray:
                return super().said(labels)[:-1]

        record = crowdsourced([participant(1, Short), participant(2)])
        assert reasons(record) == ["labels of shape (2, 2) came, and (3, 2) is expected"]
        assert len(record.labelled()[0]) == 3


class TestCheats:
    def test_mislabelled_says_the_opposite(self) -> None:
        cheat: Any = ADVERSARIES["mislabelled"].cast()
        record = crowdsourced([participant(1, cheat)])
        assert (record.labelled()[1] == ~labels(1)[:, 1:]).all()

    def test_garbage_tells_nothing_of_the_pictures_and_is_taken(self) -> None:
        cheat: Any = ADVERSARIES["garbage-representations"].cast()
        one = crowdsourced([participant(1, cheat)]).representations()
        assert one.shape == (3, 32, 4, 4)
        true = encode(EXTRACTOR, np.stack(album(1)))
        assert abs(np.corrcoef(one.flatten(), true.flatten())[0, 1]) < 0.1


def test_signatures_are_of_one_domain() -> None:
    call = COLLECTOR.call(bytes(32))
    forged = call.model_copy(update={"signature": COLLECTOR.identity.sign("publication", canonical(call.call))})
    with pytest.raises(ProtocolError, match="not signed"):
        participant(1).label(forged)
