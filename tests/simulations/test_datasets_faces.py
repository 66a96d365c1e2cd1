import numpy as np
import pytest
import torch
from conftest import Play, small
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from simulations.data import faces, people
from simulations.data.faces import Faces
from simulations.data.people import ATTRIBUTES, CLASSES, FIXED, PASSING
from simulations.data.scene import Split
from simulations.data.stock import stock


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def thumbnails(images: NDArray[np.uint8], side: int = 16) -> NDArray[np.float64]:
    """Pictures shrunk to `side` pixels, one row each."""
    count, size = images.shape[:2]
    return images.reshape(count, side, size // side, side, size // side, 3).mean((2, 4)).reshape(count, -1) / 255


@pytest.fixture(scope="module")
def looks() -> NDArray[np.bool_]:
    """Thirty thousand strangers: four standard errors of a share are 0.012, of a correlation 0.023."""
    return people.look(np.arange(30_000), generator(1))


class TestPeople:
    def test_names(self) -> None:
        assert len(ATTRIBUTES) == len(set(ATTRIBUTES)) == 24
        assert (*FIXED, *PASSING) == ATTRIBUTES

    @pytest.mark.parametrize(
        ("name", "share"),
        [("Male", 0.46), ("Young", 0.62), ("Smiling", 0.49), ("Eyeglasses", 0.23), ("Heavy_Makeup", 0.31),
         ("Black_Hair", 0.30), ("Blond_Hair", 0.16), ("Wearing_Hat", 0.13), ("No_Beard", 0.79)],
    )  # fmt: skip
    def test_shares(self, looks: NDArray[np.bool_], name: str, share: float) -> None:
        assert looks[:, ATTRIBUTES.index(name)].mean() == pytest.approx(share, abs=0.02)

    def test_a_thousand_pictures_show_every_attribute_both_ways(self, looks: NDArray[np.bool_]) -> None:
        shares = looks.reshape(30, 1000, 24).mean(1)
        assert 0.03 < shares.min() < shares.max() < 0.9

    @pytest.mark.parametrize(
        ("one", "other", "least", "most"),
        [("Male", "Heavy_Makeup", -0.7, -0.5), ("Male", "No_Beard", -0.65, -0.45),
         ("Male", "Wearing_Necktie", 0.3, 0.5),
         ("Male", "Wearing_Earrings", -0.55, -0.35), ("Smiling", "Mouth_Slightly_Open", 0.35, 0.55),
         ("Young", "Gray_Hair", -0.55, -0.3), ("Young", "Eyeglasses", -0.4, -0.2), ("Male", "Big_Nose", 0.2, 0.4),
         ("Male", "Bushy_Eyebrows", 0.2, 0.4), ("Young", "Chubby", -0.35, -0.15), ("Male", "Narrow_Eyes", -0.03, 0.03)],
    )  # fmt: skip
    def test_attributes_hang_together_as_in_celeba(
        self, looks: NDArray[np.bool_], one: str, other: str, least: float, most: float
    ) -> None:
        correlation = np.corrcoef(looks[:, ATTRIBUTES.index(one)], looks[:, ATTRIBUTES.index(other)])[0, 1]
        assert least < correlation < most

    def test_what_cannot_be_never_is(self, looks: NDArray[np.bool_]) -> None:
        of = {name: looks[:, index] for index, name in enumerate(ATTRIBUTES)}
        hair = of["Black_Hair"].astype(int) + of["Blond_Hair"] + of["Brown_Hair"] + of["Gray_Hair"] + of["Bald"]
        assert hair.max() == 1
        assert not (of["Bald"] & (of["Long_Hair"] | of["Bangs"])).any()
        assert not (~of["Male"] & (~of["No_Beard"] | of["Mustache"] | of["Bald"])).any()

    def test_pictures_of_a_person_share_what_is_fixed_and_only_that(self) -> None:
        looks = people.look(np.repeat(np.arange(200), 20), generator(3)).reshape(200, 20, 24)
        assert (looks[:, :1, : len(FIXED)] == looks[:, :, : len(FIXED)]).all()
        assert (looks[:, :, len(FIXED) :].any(1) & ~looks[:, :, len(FIXED) :].all(1)).mean(0).min() > 0.15
        assert len(np.unique(looks[:, 0, : len(FIXED)], axis=0)) > 100

    def test_the_same_person_another_day(self) -> None:
        once, later = (people.look(np.arange(100), generator(seed)) for seed in (1, 2))
        assert np.array_equal(once[:, : len(FIXED)], later[:, : len(FIXED)])
        assert not np.array_equal(once, later)

    def test_people_of_the_two_splits_are_strangers(self) -> None:
        for traits in (people.build, lambda who, split: people.look(who, generator(1), split)[:, : len(FIXED)].T):
            public, traded = (np.array([*traits(np.arange(500), split)]) for split in ("public", "traded"))
            assert (public == traded).mean() < 0.8
            assert not (public == traded).all(0).all()
        builds = [np.array(people.build(np.arange(500), split)) for split in ("public", "traded")]
        assert abs(np.corrcoef(builds[0].ravel(), builds[1].ravel())[0, 1]) < 0.06  # four standard errors

    def test_build_is_uniform_and_of_all_numbers(self) -> None:
        traits = np.array(people.build(np.array([*range(5000), *(2**62 + np.arange(5000))])))
        assert traits.min() >= 0
        assert traits.max() < 1
        assert traits.mean(1) == pytest.approx(0.5, abs=0.012)  # four standard errors
        correlations = np.corrcoef(traits) - np.eye(len(traits))
        assert abs(correlations).max() < 0.05

    def test_classes(self) -> None:
        looks = people.look(np.arange(300), generator(1))
        for look, label in zip(looks, people.classify(looks), strict=True):
            seen = dict(zip(ATTRIBUTES, look, strict=True))
            assert (" men" in CLASSES[label]) == seen["Male"]
            assert CLASSES[label].startswith("young") == seen["Young"]
            assert CLASSES[label].endswith("eyeglasses") == seen["Eyeglasses"]


class TestFaces:
    def test_same_generator_same_faces(self) -> None:
        persons = np.arange(20)
        first, again, other = (faces.draw(persons, 48, generator(seed)) for seed in (3, 3, 4))
        assert first.images.shape == (20, 48, 48, 3)
        assert first.images.dtype == np.uint8
        assert np.array_equal(first.images, again.images)
        assert np.array_equal(first.attributes, again.attributes)
        assert not np.array_equal(first.images, other.images)

    def test_no_two_pictures_of_a_person_are_alike(self) -> None:
        images = faces.draw(np.full(300, 7), 32, generator(1)).images.reshape(300, -1)
        assert len(np.unique(images, axis=0)) == 300

    def test_public_and_traded_faces_differ_whatever_the_seed(self) -> None:
        splits: tuple[Split, ...] = ("public", "traded")
        public, traded = (faces.draw(np.arange(20), 64, generator(3), split).images for split in splits)
        assert not any(np.array_equal(a, b) for a, b in zip(public, traded, strict=True))

    def test_no_faces(self) -> None:
        assert faces.draw(np.array([], dtype=np.int64), 64, generator(0)).images.shape == (0, 64, 64, 3)

    @pytest.mark.parametrize("name", ATTRIBUTES)
    def test_every_attribute_changes_its_own_picture_only(self, name: str) -> None:
        persons, column = np.arange(8), ATTRIBUTES.index(name)
        without = people.look(persons, generator(1))
        without[:, column] = False
        having = without.copy()
        having[::2, column] = True
        before, after = (faces.paint(persons, looks, 64, generator(2)).astype(int) for looks in (without, having))
        changed = abs(before - after).max(-1) > 20
        assert not changed[1::2].any()
        assert changed[::2].sum((1, 2)).max() > 30


@pytest.fixture(scope="module")
def sample() -> Faces:
    return faces.draw(np.arange(1600), 64, generator(5))


class TestLearning:
    """What a small probe of shrunken pictures finds; the rest of the pictures judge it."""

    @pytest.mark.parametrize(
        ("name", "gain"), [("Eyeglasses", 0.10), ("Male", 0.25), ("Smiling", 0.12), ("Young", 0.04)]
    )
    def test_attributes_can_be_learned(self, sample: Faces, name: str, gain: float) -> None:
        pixels, truth = thumbnails(sample.images), sample.attributes[:, ATTRIBUTES.index(name)]
        model = LogisticRegression(C=0.02, max_iter=300).fit(pixels[:1200], truth[:1200])
        share = truth[1200:].mean()
        # Four hundred judged: one standard error is 0.025 at most.
        assert model.score(pixels[1200:], truth[1200:]) > max(share, 1 - share) + gain

    def test_persons_can_be_told_apart_but_not_all(self) -> None:
        seen = faces.draw(np.repeat(np.arange(30), 10), 64, generator(6))
        pixels, train = thumbnails(seen.images), np.arange(300) % 10 < 7
        model = KNeighborsClassifier(1).fit(pixels[train], seen.persons[train])
        assert 3 / 30 < model.score(pixels[~train], seen.persons[~train]) < 0.95


class TestStock:
    def test_pictures_show_what_was_asked_for_and_strangers(self) -> None:
        supply = stock("faces", 1)
        wanted = np.arange(400) % 8
        pictures, labels = supply.take(wanted, "samples")
        assert np.array_equal(labels, wanted)
        assert len({pictures[index].tobytes() for index in range(400)}) == 400
        model = LogisticRegression(C=0.02, max_iter=300)
        pixels = thumbnails(np.stack([pictures[index] for index in range(400)]))
        for asked in (wanted % 2, wanted // 4):  # eyeglasses; men
            assert model.fit(pixels[:300], asked[:300]).score(pixels[300:], asked[300:]) > 0.65

    def test_albums_of_one_person_are_alike_inside(self) -> None:
        supply = stock("faces", 1)
        albums = [np.full(6, label) for label in (0, 3, 4, 7, 3, 0)]
        spreads = {}
        for one_person in (False, True):
            dealt = supply.deal(albums, one_person)
            assert [labels.tolist() for _, labels in dealt] == [album.tolist() for album in albums]
            pixels = [thumbnails(np.stack([album[index] for index in range(6)])) for album, _ in dealt]
            spreads[one_person] = np.mean([each[:, 336:432].std(0).mean() for each in pixels])
        assert spreads[True] < spreads[False]


def test_a_purchase_of_faces(play_purchase: Play) -> None:
    played = play_purchase(small(dataset="faces", sellers={"album": {"partition": "person"}}))
    assert played.record.offers
    assert played.world.class_names == CLASSES
