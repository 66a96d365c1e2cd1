"""Servers and owners that cheat: what each gains of a party without a policy, and what stops it."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Play, small
from test_crowdsource_parties import COLLECTOR, album, participant
from test_federate import SETTINGS, clients, start
from test_outsource import NOISE, accuracy, owner, train
from test_policy import protected
from test_publishers import SNOW, publishers

from parties.adversaries import ADVERSARIES, Adversary
from parties.adversaries.adversary import ROLES
from parties.adversaries.publishing import CarelessPublisher
from parties.federate.workflow import Federation
from parties.publish.publisher import Publisher
from parties.publish.workflow import Curator, Publish
from parties.purchase.workflow import Purchase
from parties.workflow import WorkflowFailed
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID, task_identity
from protocol.grids import LocalGrid
from protocol.messages.outsource import Part
from protocol.messages.publish import CallForPictures
from strategies.learning.weights import to_row


def cheat(name: str, **settings: Any) -> Any:
    return ADVERSARIES[name].cast(**settings)


def test_every_server_of_a_workflow_may_cheat() -> None:
    played = Counter(each.role for each in ADVERSARIES.values())
    assert {"cloud", "keeper", "collector", "service", "curator", "aggregator", "owner"} <= ROLES.keys()
    assert all(played[role] for role in ("cloud", "collector", "curator", "aggregator", "owner"))
    assert all(isinstance(each, Adversary) and each.knowledge and each.profit for each in ADVERSARIES.values())


class TestCurators:
    def error(
        self, role: type[Publish], call: CallForPictures, kind: type[Publisher] = Publisher, *, policy: bool = False
    ) -> float:
        """Mean error of what was published, in levels of grey."""
        parties = [protected(party) if policy else party for party in publishers(kind)]
        with LocalGrid([party.client_app() for party in parties]) as grid, task_identity(1):
            record = role(Curator(bytes(32), [call]), Exchange(grid)).run()
        (found,) = record.collections
        first = found.owners.min()
        truth = np.stack(
            [album_of(parties[owner - first])[place] for owner, place in zip(found.owners, found.places, strict=True)]
        )
        return float(np.abs(found.gallery.pictures.astype(float) - truth).mean())

    def test_a_plain_cloud_gets_pictures_as_they_are_or_a_refusal(self) -> None:
        assert self.error(Publish, SNOW) > 10
        assert self.error(cheat("plain-cloud"), SNOW) == 0
        with pytest.raises(WorkflowFailed, match="pictures were asked for by plain"):
            self.error(cheat("plain-cloud"), SNOW, policy=True)

    def test_many_names_for_one_publication_gain_nothing_but_of_the_careless(self) -> None:
        once = self.error(Publish, SNOW)
        assert self.error(cheat("renaming-cloud", names=30), SNOW) == once
        assert self.error(cheat("renaming-cloud", names=30), SNOW, CarelessPublisher) < 0.9 * once


def album_of(party: Publisher) -> list[np.ndarray]:
    return list(party.album)  # type: ignore[arg-type]


def test_a_noiseless_cloud_gets_updates_without_noise_or_a_refusal() -> None:
    settings = {"learning-rate": 1.0, "sigma": 8.0, "sampling-rate": 1.0, "steps": 1.0, "clipping": 1.0}
    federation = Federation("test", "dp-images", 1, settings, start(), 3)

    def moved(role: Any, *, policy: bool = False) -> float:
        parties = [protected(party) if policy else party for party in clients(3)]
        with LocalGrid([party.client_app() for party in parties]) as grid, task_identity(1):
            federate = role(federation, Exchange(grid))
            try:
                record = federate.run()
            finally:
                refused.extend(failure.sentence for failure in federate.record.failures)
        return float((to_row(record.model) - to_row(start())).norm())

    refused: list[str] = []
    honest = moved(ROLES["aggregator"])
    assert moved(cheat("noiseless-cloud")) < honest / 50
    assert refused == []
    with pytest.raises(WorkflowFailed):
        moved(cheat("noiseless-cloud"), policy=True)
    assert len(refused) == 3
    assert all("a sigma of 1e-09 was asked for, and 1 is the least" in sentence for sentence in refused)


def test_an_extractor_that_hides_nothing_is_the_picture_and_nothing_stops_it() -> None:
    with LocalGrid([participant(number).client_app() for number in range(5)]) as grid, task_identity(1):
        record = cheat("identity-extractor")(COLLECTOR, Exchange(grid)).run()
    assert not record.failures
    pictures = torch.from_numpy(np.concatenate([np.stack(album(number)) for number in range(5)])).permute(0, 3, 1, 2)
    brightest = torch.nn.functional.max_pool2d(pictures / 255.0, 4)
    seen = record.representations()[:, :3]
    assert torch.corrcoef(torch.stack([seen.flatten(), brightest.flatten()]))[0, 1] > 0.99


class TestClouds:
    def test_a_withholding_cloud_takes_the_money_and_nothing_stops_it(self, play_purchase: Play) -> None:
        played = play_purchase(small(), drives=cheat("withholding-cloud"))
        assert list(played.world.buyer.store.glob("*.png")) == []
        honest = play_purchase(small())
        assert len(list(honest.world.buyer.store.glob("*.png"))) > 0
        assert len(played.by_outcome("accepted")) >= len(honest.by_outcome("accepted")) > 0

    def test_a_cloud_that_substitutes_keys_opens_everything(self, play_purchase: Play) -> None:
        opened = []

        class Watched(cheat("key-substituting-cloud")):  # type: ignore[misc]
            def run(self) -> Any:
                record = super().run()
                opened.append(self.substitution.opened)
                return record

        played = play_purchase(small(), drives=Watched)
        assert opened == [played.outcome.delivered]
        assert opened[0] > 0
        assert issubclass(Watched, Purchase)


class TestOwners:
    ASSIGNMENT = replace(NOISE, epochs=8, repeat=True)

    def trained(self, kind: Any) -> tuple[float, float, list[Part]]:
        """Return how right the models are at an honest owner and at another one, and what the service saw."""
        _, grid, seen = train(owner(96, self.ASSIGNMENT, 1), owner(192, self.ASSIGNMENT, 2, kind))
        return accuracy(grid), accuracy(grid, FIRST_NODE_ID + 1), seen

    def test_an_owner_that_mislabels_spoils_the_common_model(self) -> None:
        assert self.trained(ROLES["owner"])[0] > 0.9
        assert self.trained(cheat("mislabelling-owner"))[0] < 0.5

    def test_an_owner_of_noise_gets_a_model_and_shows_no_image(self) -> None:
        _, own, seen = self.trained(cheat("noise-owner"))
        assert own > 0.8
        shown = np.concatenate([part.pictures for part in seen[1::2]])
        assert shown.std(axis=(1, 2, 3)) == pytest.approx(255 / 12**0.5, rel=0.1)


class TestSums:
    """Sums of ten clients; `test_sums_attacked` reads the victim's update of parties without their guards."""

    def train(self, name: str) -> list[str]:
        federation = Federation("test", "secure-sum", 1, SETTINGS, start(), 10)
        with LocalGrid([party.client_app() for party in clients(10)]) as grid, task_identity(1):
            federate = cheat(name)(federation, Exchange(grid))
            with suppress(WorkflowFailed):
                federate.run()
        return [failure.line for failure in federate.record.failures]

    def test_nobody_answers_a_cloud_that_reopens_a_sum(self) -> None:
        refused = self.train("reopening-cloud")
        assert len(refused) == 9
        assert all("confirm: " in line and "for this sum already" in line for line in refused)

    def test_nobody_shows_shares_to_a_cloud_that_lies_about_who_is_there(self) -> None:
        refused = self.train("lying-dropout-cloud")
        assert len(refused) == 10
        assert all("show: " in line and "have confirmed who is present" in line for line in refused)
