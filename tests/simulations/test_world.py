from pathlib import Path

import numpy as np
import pytest
from conftest import small
from PIL import Image

from protocol.errors import BadInput, BadScenario
from simulations.runs.seeding import numpy_generator, secret, torch_generator
from simulations.workflows.purchase.world import PurchaseWorld, build
from strategies.features.featurizer import Featurizer


def world(featurizer: Featurizer, **changes: object) -> PurchaseWorld:
    return build(small(**changes), featurizer, Path("unused"))


def albums(built: PurchaseWorld) -> list[bytes]:
    return [held.party.album[image].tobytes() for held in built.sellers for image in range(len(held.party.album))]


class TestPopulation:
    def test_the_same_seed_builds_the_same_world(self, featurizer: Featurizer) -> None:
        one, again, other = (world(featurizer, seed=seed) for seed in (3, 3, 4))
        assert albums(one) == albums(again) != albums(other)
        assert [held.party.costs for held in one.sellers] == [held.party.costs for held in again.sellers]
        assert one.wanted == again.wanted

    def test_sizes_noise_and_classes_are_as_the_scenario_says(self, featurizer: Featurizer) -> None:
        built = world(featurizer, sellers={"count": 40, "noise": 0.25, "album": {"images": [3, 5], "classes": 2}})
        assert len(built.sellers) == 40
        assert {len(held.party.album) for held in built.sellers} == {3, 4, 5}
        assert sum(held.noise for held in built.sellers) == 10
        assert built.wanted is not None
        for held in built.sellers:
            shown = {built.class_names[label] for label in held.labels}
            assert len(shown) <= 2
            assert shown.isdisjoint(built.wanted) if held.noise else shown <= built.wanted

    def test_no_picture_is_in_two_albums_or_among_the_samples(self, featurizer: Featurizer) -> None:
        for dataset in ("pets", "digits", "faces"):
            built = world(featurizer, dataset=dataset)
            pictures = [*albums(built), *(sample.tobytes() for sample in built.samples)]
            assert len(set(pictures)) == len(pictures), dataset

    def test_a_finite_data_set_runs_out(self, featurizer: Featurizer) -> None:
        built = world(featurizer, dataset="digits", sellers={"count": 500, "album": {"images": 20}})
        assert 0 < sum(len(held.party.album) for held in built.sellers) < 898
        assert all(len(held.party.album) for held in built.sellers)

    def test_cheats_come_in_their_shares_and_never_twice(self, featurizer: Featurizer) -> None:
        shares = {"swapped-delivery": 0.25, "irrelevant-images": 0.5}
        built = world(featurizer, adversaries=shares)
        names = [held.adversary for held in built.sellers]
        assert (names.count("swapped-delivery"), names.count("irrelevant-images"), names.count(None)) == (3, 6, 3)

    def test_drawn_cheats_come_as_chance_has_it_and_fixed_ones_in_their_share(self, featurizer: Featurizer) -> None:
        sellers = {"count": 400, "album": {"images": 1}}
        adversaries = {"ring": 0.5, "shading": {"share": 0.25, "drawn": True}}
        counts = []
        for seed in (1, 2):
            built = world(featurizer, seed=seed, sellers=sellers, adversaries=adversaries)
            names = [held.adversary for held in built.sellers]
            assert names.count("ring") == 200
            counts.append(names.count("shading"))
        # 200 draws at one half: five standard deviations are 35.
        assert counts[0] != counts[1]
        assert all(abs(count - 100) <= 35 for count in counts)

    def test_a_cheat_is_told_its_settings(self, featurizer: Featurizer) -> None:
        built = world(featurizer, adversaries={"overbidding": {"share": 1.0, "factor": 3}})
        party = built.sellers[0].party
        assert party.price(0) == 3 * party.costs[0]

    def test_colluders_know_what_all_of_them_know(self, featurizer: Featurizer) -> None:
        built = world(featurizer, adversaries={"ring": 0.5})
        ring = [held.party for held in built.sellers if held.adversary == "ring"]
        boards = [party.board.read("costs") for party in ring]  # type: ignore[attr-defined]
        assert all(board == [cost for party in ring for cost in party.costs] for board in boards)

    def test_a_drawn_buyer_cheats_sometimes(self, featurizer: Featurizer) -> None:
        drawn = {"false-complaint": {"share": 0.5, "drawn": True}}
        few = {"count": 1, "album": {"images": 1}}
        played = {world(featurizer, seed=s, adversaries=drawn, sellers=few).buyer_adversary for s in range(12)}
        assert played == {None, "false-complaint"}

    def test_a_cheating_buyer(self, featurizer: Featurizer) -> None:
        assert world(featurizer, adversaries={"false-complaint": 1.0}).buyer_adversary == "false-complaint"
        assert world(featurizer, adversaries={"false-complaint": 0.0}).buyer_adversary is None

    @pytest.mark.parametrize("model", ["identical", "uniform", "normal"])
    def test_prices_follow_their_model(self, featurizer: Featurizer, model: str) -> None:
        price = {"model": model, "mean": 2.0, "variance": 0.25, "floor": 0.5}
        built = world(featurizer, sellers={"count": 150, "price": price})
        costs = np.concatenate([held.party.costs for held in built.sellers])
        # 600 draws: four standard errors of the mean are 0.08 coins.
        assert costs.mean() == pytest.approx(200, abs=8)
        assert costs.min() >= 50
        assert costs.var() == pytest.approx(0 if model == "identical" else 2500, rel=0.2)

    def test_more_classes_than_there_are(self, featurizer: Featurizer) -> None:
        with pytest.raises(BadScenario, match="11 classes are wanted and there are 10"):
            world(featurizer, dataset="digits", buyer={"samples": {"classes": 11}})


class TestPartitions:
    def test_dirichlet_albums_hold_classes_in_unlike_shares(self, featurizer: Featurizer) -> None:
        def largest_share(alpha: float) -> float:
            album = {"partition": "dirichlet", "alpha": alpha, "images": 30}
            built = world(featurizer, sellers={"noise": 0.5, "album": album}, buyer={"samples": {"classes": 10}})
            return float(np.mean([np.bincount(held.labels).max() / len(held.labels) for held in built.sellers]))

        # Ten classes each: a tenth, and what chance adds to it, when all are alike.
        assert largest_share(1000) < 0.3
        assert largest_share(0.01) > 0.9

    def test_noise_sellers_hold_nothing_that_was_asked_for(self, featurizer: Featurizer) -> None:
        for album in ({"partition": "dirichlet", "alpha": 0.3}, {"partition": "person"}):
            built = world(featurizer, dataset="faces", sellers={"album": album})
            assert built.wanted is not None
            assert sum(held.noise for held in built.sellers) == 3
            for held in built.sellers:
                shown = {built.class_names[label] for label in held.labels}
                assert shown.isdisjoint(built.wanted) if held.noise else shown <= built.wanted

    def test_skewed_sizes(self, featurizer: Featurizer) -> None:
        built = world(featurizer, sellers={"count": 100, "album": {"images": [1, 20], "skew": 1.5}})
        sizes = [len(held.party.album) for held in built.sellers]
        assert np.median(sizes) <= 3
        assert max(sizes) > 8

    def test_a_person_per_seller(self, featurizer: Featurizer) -> None:
        built = world(featurizer, dataset="faces", sellers={"album": {"partition": "person"}})
        assert all(len(set(held.labels.tolist())) == 1 for held in built.sellers)
        pictures = albums(built)
        assert len(set(pictures)) == len(pictures)

    @pytest.mark.parametrize("dataset", ["pets", "digits"])
    def test_persons_must_be_known(self, featurizer: Featurizer, dataset: str) -> None:
        with pytest.raises(BadScenario, match="set dataset to faces or celeba"):
            world(featurizer, dataset=dataset, sellers={"album": {"partition": "person"}})

    def test_a_folder_does_not_say_who_is_on_its_pictures(self, featurizer: Featurizer, tmp_path: Path) -> None:
        TestFolders().fill(tmp_path / "photos", 3, 0)
        album = {"partition": "person", "folder": str(tmp_path / "photos")}
        with pytest.raises(BadScenario, match="known persons"):
            world(featurizer, dataset="faces", sellers={"album": album})


class TestFolders:
    def fill(self, folder: Path, count: int, seed: int) -> None:
        folder.mkdir(parents=True)
        generator = np.random.default_rng(seed)
        for index in range(count):
            pixels = generator.integers(0, 256, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")

    def folders(self, album: Path, samples: Path) -> dict[str, object]:
        return {"sellers": {"album": {"folder": str(album)}}, "buyer": {"samples": {"folder": str(samples)}}}

    def test_pictures_are_dealt_once_and_leftovers_are_noted(self, featurizer: Featurizer, tmp_path: Path) -> None:
        self.fill(tmp_path / "photos", 9, 0)
        self.fill(tmp_path / "wanted", 2, 1)
        built = world(featurizer, **self.folders(tmp_path / "photos", tmp_path / "wanted"))
        assert len(albums(built)) == len(set(albums(built))) == 9
        few = self.folders(tmp_path / "photos", tmp_path / "wanted")
        few["sellers"] = {"count": 1, "album": {"folder": str(tmp_path / "photos"), "images": 2}}
        built = world(featurizer, **few)
        assert built.notes == ["7 images are in no album: raise sellers.count or sellers.album.images."]

    def test_sub_folders_are_classes_when_both_sides_have_them(self, featurizer: Featurizer, tmp_path: Path) -> None:
        for name in ("cat", "dog"):
            self.fill(tmp_path / "photos" / name, 6, len(name))
        self.fill(tmp_path / "wanted" / "cat", 2, 9)
        built = world(featurizer, **self.folders(tmp_path / "photos", tmp_path / "wanted"))
        assert built.wanted == {"cat"}
        self.fill(tmp_path / "plain", 2, 9)
        assert world(featurizer, **self.folders(tmp_path / "photos", tmp_path / "plain")).wanted is None

    def test_too_many_samples(self, featurizer: Featurizer, tmp_path: Path) -> None:
        self.fill(tmp_path / "photos", 1001, 0)
        with pytest.raises(BadInput, match="show at most 1000"):
            world(featurizer, **self.folders(tmp_path / "photos", tmp_path / "photos"))


def test_seeds_are_told_apart_by_every_label() -> None:
    labels = [(1,), (2,), (1, "a"), (1, "b"), (1, "a", "b"), (1, "ab"), (11,), (1, 1)]
    assert len({secret(*each) for each in labels}) == len(labels)
    assert numpy_generator(1, "x").random() == numpy_generator(1, "x").random() != numpy_generator(1, "y").random()
    assert torch_generator(1, "x").initial_seed() == torch_generator(1, "x").initial_seed()
