"""The `small` featurizer as shipped: it is what its card says, and it selects as the purchase needs."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from parties.featurizers import FEATURIZERS, card, load_featurizer
from protocol.errors import BadInput
from protocol.storage import package
from simulations.data import digits, pets
from simulations.studies.calibration import calibration
from simulations.studies.calibration.drift import honest_drift, tolerance
from simulations.studies.calibration.train_small import CLASSES
from strategies.features.featurizer import LATTICE_SIDE, VECTOR_UNITS, Featurizer, Pixels, prepare
from strategies.pixels import network_inputs

BREEDS = len(pets.BREEDS)


@pytest.fixture(scope="module")
def featurizer() -> Featurizer:
    return load_featurizer("small")


@pytest.fixture(scope="module")
def pictures() -> tuple[list[Pixels], np.ndarray]:
    """Sixty fresh portraits of each breed and all traded digits."""
    breeds = np.tile(np.arange(BREEDS), 60)
    scans, scan_labels = digits.read("traded")
    images = [*pets.draw(breeds, 64, torch.Generator().manual_seed(12345)), *scans]
    return images, np.concatenate([breeds, scan_labels + BREEDS])


@pytest.fixture(scope="module")
def points(featurizer: Featurizer, pictures: tuple[list[Pixels], np.ndarray]) -> np.ndarray:
    return featurizer.features(pictures[0])


class TestSmall:
    """Margins are about four standard errors around what the card states."""

    def test_the_paper_s_parameters(self, featurizer: Featurizer) -> None:
        chosen = featurizer.calibration
        assert (chosen.radius, chosen.reach, chosen.signature_size) == (4000, 300, 4)

    def test_names_most_breeds_but_not_all(
        self, featurizer: Featurizer, pictures: tuple[list[Pixels], np.ndarray]
    ) -> None:
        images, labels = pictures
        with torch.inference_mode():
            fc8 = featurizer.network(network_inputs([prepare(image) for image in images]))
        right = fc8.argmax(1).numpy() == labels
        assert 0.88 < right[labels < BREEDS].mean() < 0.97
        assert right[labels >= BREEDS].mean() > 0.96

    def test_eighty_percent_lie_within_the_radius_of_their_centroid(
        self, points: np.ndarray, pictures: tuple[list[Pixels], np.ndarray]
    ) -> None:
        assert calibration.recall(points, pictures[1]) == pytest.approx(0.80, abs=0.05)

    def test_categories_lie_apart_and_on_the_lattice(
        self, points: np.ndarray, pictures: tuple[list[Pixels], np.ndarray]
    ) -> None:
        assert calibration.pair_separation(points, pictures[1]) >= 0.9
        assert calibration.off_lattice(points) < 0.02
        assert abs(np.median(points, axis=0) - LATTICE_SIDE / 2).max() < LATTICE_SIDE / 8

    @pytest.mark.parametrize("traded", ["pets", "digits"])
    def test_purchases_are_precise(
        self, points: np.ndarray, pictures: tuple[list[Pixels], np.ndarray], traded: str
    ) -> None:
        categories = range(BREEDS) if traded == "pets" else range(BREEDS, len(CLASSES))
        quality = calibration.purchase_quality(points, pictures[1], categories, np.random.default_rng(0))
        assert quality.precision > 0.93
        assert quality.recall > 0.70

    def test_honest_drift_stays_within_a_tenth_of_the_tolerance(
        self, featurizer: Featurizer, pictures: tuple[list[Pixels], np.ndarray]
    ) -> None:
        drifts = honest_drift(featurizer, pictures[0][:300])
        assert drifts.points.max() * 10 <= featurizer.calibration.tolerance
        assert drifts.vectors.max() * 10 <= featurizer.calibration.vector_tolerance
        assert drifts.vectors.max() > 0

    def test_vectors_select_like_points(
        self, featurizer: Featurizer, pictures: tuple[list[Pixels], np.ndarray]
    ) -> None:
        vectors = featurizer.vectors(pictures[0])
        radius = featurizer.calibration.vector_radius
        assert vectors.shape == (len(pictures[0]), 30)
        assert np.abs(vectors / VECTOR_UNITS - featurizer.fc8(pictures[0])).max() <= 0.5 / VECTOR_UNITS + 1e-6
        assert calibration.recall(vectors, pictures[1], radius) == pytest.approx(0.80, abs=0.05)
        assert calibration.pair_separation(vectors, pictures[1], radius) >= 0.9

    def test_another_picture_of_the_category_is_outside_the_tolerance(
        self, featurizer: Featurizer, points: np.ndarray, pictures: tuple[list[Pixels], np.ndarray]
    ) -> None:
        assert calibration.false_accepts(points, pictures[1], featurizer.calibration.tolerance) < 5e-4

    def test_the_public_decoder_tells_the_class(
        self, featurizer: Featurizer, points: np.ndarray, pictures: tuple[list[Pixels], np.ndarray]
    ) -> None:
        """The leak of privacy level 1: two numbers still say what most pictures show."""
        guessed = featurizer.decode(points).argmax(1)
        assert (guessed == pictures[1]).mean() > 0.75

    def test_the_card_describes_these_weights(self, featurizer: Featurizer) -> None:
        described = card("small")
        assert described["model_id"] == featurizer.model_id
        assert tuple(described["classes"]) == CLASSES
        assert described["measured"]["share_off_lattice"] < 0.02

    def test_weights_are_small(self) -> None:
        assert package.packaged_file("parties/featurizers/small.safetensors").stat().st_size < 2_000_000

    def test_speed(self, featurizer: Featurizer, pictures: tuple[list[Pixels], np.ndarray]) -> None:
        """1,500 a second on one thread is the bar; a fifth of it here, where the machine may be busy."""
        images = pictures[0][:640]
        featurizer.features(images[:16])
        start = time.process_time()
        featurizer.features(images)
        assert (time.process_time() - start) / torch.get_num_threads() < len(images) / 300


class TestLoading:
    def test_unknown_names_are_bad_input(self) -> None:
        with pytest.raises(BadInput, match="no featurizer 'large'; choose one of: small"):
            load_featurizer("large")

    def test_weights_for_small_are_refused(self) -> None:
        with pytest.raises(BadInput, match=r"small comes with its weights; mine\.pth can only be used with vgg16"):
            load_featurizer("small", "mine.pth")

    def test_missing_weights_are_bad_input(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(package, "HERE", tmp_path)
        monkeypatch.setattr(package, "installed", lambda: [])
        with pytest.raises(BadInput, match="Flower app bundles do not carry such files"):
            load_featurizer("small")

    def test_a_bundle_takes_the_weights_of_the_installed_package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(package, "installed", lambda here=package.HERE: [tmp_path, here])
        monkeypatch.setattr(package, "HERE", tmp_path / "bundle")
        assert load_featurizer("small").model_id == card("small")["model_id"]
        (tmp_path / "bundle" / "parties" / "featurizers").mkdir(parents=True)
        (tmp_path / "bundle" / "parties" / "featurizers" / "table.py").write_text("# of another version")
        with pytest.raises(BadInput, match="is of another version"):
            load_featurizer("small")

    def test_modules_of_a_bundle_are_those_of_the_installed_package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        beside, here = tmp_path / "parties" / "featurizers", package.HERE
        beside.mkdir(parents=True)
        code = (here / "parties" / "featurizers" / "vgg.py").read_bytes()
        (beside / "vgg.py").write_bytes(code)
        monkeypatch.setattr(package, "installed", lambda: [here])
        monkeypatch.setattr(package, "HERE", tmp_path)
        assert load_featurizer("small").model_id == card("small")["model_id"]
        (beside / "vgg.py").write_bytes(code + b"# of another version")
        with pytest.raises(BadInput, match="is of another version"):
            load_featurizer("small")

    @pytest.mark.parametrize("damage", ["cut", "card", "swapped"])
    def test_damaged_files_are_bad_input(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
        original = package.HERE / "parties" / "featurizers"
        weights, description = (original / "small.safetensors").read_bytes(), (original / "small.json").read_text()
        if damage == "cut":
            weights = weights[:1000]
        elif damage == "card":
            description = "{}"
        else:
            weights = weights[:-4] + b"\0\0\0\0"
        (tmp_path / "parties" / "featurizers").mkdir(parents=True)
        (tmp_path / "parties" / "featurizers" / "small.safetensors").write_bytes(weights)
        (tmp_path / "parties" / "featurizers" / "small.json").write_text(description)
        monkeypatch.setattr(package, "HERE", tmp_path)
        with pytest.raises(BadInput, match="not the ones" if damage == "swapped" else "damaged"):
            load_featurizer("small")

    def test_every_featurizer_has_a_line_about_it(self) -> None:
        assert all(info.description and "\n" not in info.description for info in FEATURIZERS.values())


class TestCalibration:
    """Against geometry that can be worked out by hand."""

    def test_radius_counts_categories_equally(self) -> None:
        """A category of 2 within 1 of its centroid, one of 200 within 5: half of the pictures' weight is within 1."""
        angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
        ring = 5 * np.stack([np.cos(angle), np.sin(angle)], 1) + 100
        points = np.concatenate([[[-1.0, 0.0], [1.0, 0.0]], ring])
        labels = np.array([0] * 2 + [1] * 200)
        assert calibration.radius_of_recall(points, labels, 0.5) == pytest.approx(1)
        assert calibration.radius_of_recall(points, labels, 0.8) == pytest.approx(5)

    def test_lattice_centres_the_cloud_and_sets_the_radius(self) -> None:
        generator = np.random.default_rng(1)
        labels = np.repeat(np.arange(5), 2000)
        codes = generator.normal(size=(10000, 2)) + 8 * generator.normal(size=(5, 2))[labels] + 50
        scale, offset = calibration.lattice(codes, labels)
        points = np.array(offset) + scale * codes
        assert calibration.recall(points, labels) == pytest.approx(0.8, abs=0.001)
        low, high = np.quantile(points, [0.001, 0.999], axis=0)
        assert (low + high) / 2 == pytest.approx(LATTICE_SIDE / 2)
        assert scale == pytest.approx(4000 / np.sqrt(-2 * np.log(0.2)), rel=0.03)

    def test_pair_separation_and_false_accepts(self) -> None:
        points = np.array([[0, 0], [0, 8], [3000, 0], [3000, 8], [9000, 0], [9000, 30]])
        labels = np.array([0, 0, 1, 1, 2, 2])
        assert calibration.pair_separation(points, labels) == pytest.approx(2 / 3)
        assert calibration.false_accepts(points, labels, 10) == pytest.approx(2 / 3)

    def test_off_lattice(self) -> None:
        points = np.array([[0, 0], [65535, 65535], [65536, 5], [5, -1]])
        assert calibration.off_lattice(points) == 0.5

    def test_purchases_from_separate_categories_are_perfect(self) -> None:
        generator = np.random.default_rng(2)
        labels = np.repeat(np.arange(9), 200)
        centres = 10_000 + 20_000 * np.stack(np.divmod(np.arange(9), 3), 1)
        points = centres[labels] + generator.normal(scale=300, size=(1800, 2))
        quality = calibration.purchase_quality(points, labels, range(9), generator, samples=30, purchases=20)
        assert (quality.precision, quality.recall) == (1.0, 1.0)

    def test_purchases_from_one_heap_have_the_precision_of_chance(self) -> None:
        generator = np.random.default_rng(3)
        labels = np.repeat(np.arange(9), 200)
        points = generator.uniform(20_000, 40_000, (1800, 2))
        quality = calibration.purchase_quality(points, labels, range(9), generator, purchases=100)
        assert quality.precision == pytest.approx(0.7, abs=0.02)

    def test_tolerance_is_ten_times_the_drift_and_never_under_ten(self) -> None:
        assert tolerance(np.zeros(1000, np.int64)) == 10
        assert tolerance(np.full(1000, 2)) == 20

    def test_recall_curves_rise_from_the_centroid_to_all(self) -> None:
        points = np.array([[-1, 0, 0], [1, 0, 0], [0, 50, 0], [0, 56, 0]])
        curves = calibration.recall_curves(points, np.array([0, 0, 1, 1]), np.array([0.5, 1.0, 3.0]))
        assert curves.tolist() == [[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]

    def test_false_accepts_compare_each_number_as_the_arbiter_does(self) -> None:
        points = np.array([[0, 0, 0], [9, 9, 9], [0, 0, 31]])
        assert calibration.false_accepts(points, np.zeros(3, np.int64), 10) == pytest.approx(1 / 3)
