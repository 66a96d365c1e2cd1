"""VGG-16 with weights that are written here: they name nothing, and take the very path of the trained ones."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import VGG16_Weights, vgg16

from parties.featurizers import load_featurizer, load_network
from protocol.errors import BadInput
from simulations.data import pets
from simulations.runs.runner import run
from simulations.studies.calibration.calibrate import DRIFTING, Calibrated, PublicPictures, calibrate, write
from simulations.workflows.purchase.scenario import PurchaseScenario
from strategies.features.featurizer import VECTOR_UNITS, Pixels

pytestmark = pytest.mark.slow

AGREE = 1e-4
"""Logits of one picture by two routes through one network, relative to the largest: float32 sums differ that much."""


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    """Coarse noise, so that resizing leaves something to see."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height)))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with vgg16.pth and vgg16.safetensors; half a gigabyte each, so they go when the tests are done."""
    folder = tmp_path_factory.mktemp("vgg")
    torch.manual_seed(0)
    state = vgg16().state_dict()
    state["classifier.6.weight"] *= 30  # fc8 of about the size that trained weights give
    torch.save(state, folder / "vgg16.pth")
    save_file(state, folder / "vgg16.safetensors")
    yield folder
    for path in folder.glob("vgg16.*"):
        path.unlink()


@pytest.fixture(scope="module")
def portraits() -> PublicPictures:
    breeds = np.tile(np.arange(2), 3)
    images = pets.draw(breeds, 96, torch.Generator().manual_seed(1), "public")
    return PublicPictures(list(images), breeds, ("one", "two"))


@pytest.fixture(scope="module")
def calibrated(files: Path, portraits: PublicPictures) -> Calibrated:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DRIFTING, "vgg16", 2)
        done = calibrate("vgg16", load_network("vgg16", str(files / "vgg16.pth")), portraits, steps=60)
    (files / "calibration").mkdir()
    write(files / "calibration", "vgg16", done, portraits)
    return done


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_fc8_is_what_torchvision_computes_from_its_own_transform(files: Path, kind: str) -> None:
    network = load_network("vgg16", str(files / f"vgg16.{kind}"))
    with torch.device("meta"):
        theirs = vgg16(init_weights=False)
    theirs.load_state_dict(torch.load(files / "vgg16.pth", weights_only=True), assign=True)
    theirs.eval()
    transform = VGG16_Weights.IMAGENET1K_V1.transforms()
    for height, width in ((64, 64), (331, 247), (256, 700)):
        picture = noise(height, width)
        with torch.inference_mode():
            ours = network(network.inputs([network.prepare(picture)]))
            expected = theirs(transform(Image.fromarray(picture))[None])
        assert ours.shape == (1, 1000)
        assert (ours - expected).abs().max() <= AGREE * expected.abs().max()


def test_the_same_weights_in_either_format_are_one_model(files: Path, calibrated: Calibrated) -> None:
    folder = str(files / "calibration")
    loaded = [load_featurizer("vgg16", str(files / f"vgg16.{kind}"), folder) for kind in ("pth", "safetensors")]
    assert {featurizer.model_id for featurizer in loaded} == {calibrated.featurizer.model_id}
    assert loaded[0].calibration == calibrated.featurizer.calibration


def test_prepared_pictures_are_224_wide_and_stay_as_they_are(calibrated: Calibrated) -> None:
    once = calibrated.featurizer.prepare(noise(300, 500))
    assert once.shape == (224, 224, 3)
    assert calibrated.featurizer.prepare(once) is once


def test_a_calibration_fits_its_pictures(calibrated: Calibrated, portraits: PublicPictures) -> None:
    chosen = calibrated.featurizer.calibration
    assert chosen.radius == pytest.approx(4000, abs=2)
    assert chosen.reach == 300
    vectors = calibrated.featurizer.vectors(portraits.images[index] for index in range(2))
    assert vectors.shape == (2, 1000)
    points = calibrated.featurizer.features(portraits.images[index] for index in range(2))
    assert calibrated.plane.features[:2].tolist() == points.tolist()
    assert chosen.vector_tolerance >= 10 * np.quantile(calibrated.honest.vectors, 0.9999) - 0.01
    assert chosen.tolerance >= 10 * np.quantile(calibrated.honest.points, 0.9999) - 0.01
    assert calibrated.vectors.radius / VECTOR_UNITS > 0


def test_a_purchase_with_1000_numbers_in_a_bid(files: Path, calibrated: Calibrated, tmp_path: Path) -> None:
    folder = shutil.copytree(files / "calibration", tmp_path / "calibration")
    card = json.loads((folder / "card.json").read_text())
    card["calibration"]["vector_radius"] = 75 * VECTOR_UNITS  # the paper's: random weights tell no pictures apart
    (folder / "card.json").write_text(json.dumps(card))
    scenario = {
        "cloud": {
            "privacy": "basic",
            "featurizer": "vgg16",
            "weights": str(files / "vgg16.safetensors"),
            "calibration": str(folder),
        },
        "sellers": {"count": 2, "noise": 0.0, "album": {"images": 1}},
        "buyer": {"quality": "matching", "samples": {"count": 1, "classes": 1}},
    }
    report = run(PurchaseScenario.model_validate(scenario), tmp_path / "out")
    assert report.outcome.bids == report.outcome.candidates == 2
    assert 0 < report.outcome.selected == report.outcome.verified
    assert any("1,000 numbers" in line.detail for line in report.learned)
    assert any("224 x 224" in line.detail for line in report.learned)


class TestMistakes:
    def test_missing_weights(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        with pytest.raises(BadInput) as error:
            load_network("vgg16")
        assert str(tmp_path / "checkpoints" / "vgg16-397923af.pth") in str(error.value)
        assert VGG16_Weights.IMAGENET1K_V1.url in str(error.value)
        assert "cloud.weights=FILE" in str(error.value)

    def test_weights_of_one_s_own_that_are_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match=r"looked for .*mine\.pth"):
            load_network("vgg16", str(tmp_path / "mine.pth"))

    @pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
    def test_a_file_that_is_no_weights(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(b"not weights at all")
        with pytest.raises(BadInput, match=r"cannot be read as \.pth or \.safetensors"):
            load_network("vgg16", str(tmp_path / name))

    @pytest.mark.parametrize("content", [{"fc.weight": torch.zeros(3, 3)}, [1, 2], {"epoch": 3}])
    def test_another_network_s_weights(self, tmp_path: Path, content: object) -> None:
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(BadInput, match=r"does not hold the weights of torchvision's vgg16"):
            load_network("vgg16", str(tmp_path / "other.pth"))

    def test_code_in_a_weights_file_is_not_run(self, tmp_path: Path) -> None:
        torch.save({"features.0.weight": Path("x")}, tmp_path / "evil.pth")
        with pytest.raises(BadInput, match="cannot be read"):
            load_network("vgg16", str(tmp_path / "evil.pth"))

    def test_no_calibration(self) -> None:
        with pytest.raises(BadInput, match=r"`parley calibrate --featurizer vgg16 --images FOLDER --out DIR`"):
            load_featurizer("vgg16")
