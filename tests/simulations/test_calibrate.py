"""`parley calibrate`: on the shipped data sets, on a folder, and with mistakes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Command
from PIL import Image

from parties.featurizers import load_featurizer, load_network
from protocol.errors import BadInput
from simulations.data import pets
from simulations.studies.calibration.calibrate import calibrate, public_dataset, public_folder, run

BREEDS = len(pets.BREEDS)


def folder_of(path: Path, categories: int, pictures: int) -> Path:
    breeds = np.repeat(np.arange(categories), pictures)
    drawn = pets.draw(breeds, 64, torch.Generator().manual_seed(2), "public")
    for index, (breed, picture) in enumerate(zip(breeds, drawn, strict=True)):
        (path / f"breed {breed}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path / f"breed {breed}" / f"{index}.png")
    return path


@pytest.mark.slow
def test_public_pets_reproduce_the_shipped_radii() -> None:
    """Within 15 %: the shipped ones were chosen on pets and digits together, and digits lie closer to each other."""
    found = calibrate("small", load_network("small"), public_dataset("pets", 50)).featurizer.calibration
    shipped = load_featurizer("small").calibration
    assert found.radius == pytest.approx(shipped.radius, rel=0.15)
    assert found.vector_radius == pytest.approx(shipped.vector_radius, rel=0.15)
    assert (found.tolerance, found.vector_tolerance) == (shipped.tolerance, shipped.vector_tolerance)
    assert found.reach / found.radius == pytest.approx(300 / 4000, rel=0.01)


def test_what_is_chosen_keeps_its_promises() -> None:
    found = calibrate("small", load_network("small"), public_dataset("digits", 40))
    for space in (found.vectors, found.plane):
        assert space.recall == pytest.approx(0.8, abs=0.01)
        assert space.false_accepts < 5e-3
        assert len(space.labels) == 400
    assert found.coarse.keys() == {"bfloat16", "JPEG quality 95"}
    assert found.coarse["JPEG quality 95"].vectors.max() > found.honest.vectors.max()
    assert found.honest.vectors.max() <= 1


def test_the_command_writes_a_calibration_that_a_run_can_use(parley: Command, tmp_path: Path) -> None:
    folder_of(tmp_path / "pictures", 3, 6)
    done = parley("calibrate", "--images", "pictures", "--out", "mine")
    assert done.returncode == 0, done.stderr
    assert "false-accept rate" in done.stdout
    assert "Calibration: mine" in done.stdout
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {
        "autoencoder.safetensors", "card.json", "figure1.png", "figure1.svg",
    }  # fmt: skip
    with Image.open(tmp_path / "mine" / "figure1.png") as figure:
        assert len(np.unique(np.asarray(figure))) > 50
    card = json.loads((tmp_path / "mine" / "card.json").read_text())
    assert card["categories"] == ["breed 0", "breed 1", "breed 2"]
    shipped = load_featurizer("small")
    mine = load_featurizer("small", calibration=str(tmp_path / "mine"))
    assert mine.model_id == shipped.model_id
    assert mine.calibration == replace(shipped.calibration, **restored(card["calibration"]))
    again = parley("calibrate", "--images", "pictures", "--out", "mine")
    assert again.returncode == 5


def restored(calibration: dict[str, object]) -> dict[str, object]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in calibration.items()}


def test_only_each_category_s_first_pictures_are_used(tmp_path: Path) -> None:
    pictures = public_folder(folder_of(tmp_path, 2, 5), per_category=3)
    assert np.bincount(pictures.labels).tolist() == [3, 3]
    assert pictures.categories == ("breed 0", "breed 1")


class TestMistakes:
    def test_a_folder_without_categories(self, tmp_path: Path) -> None:
        folder = folder_of(tmp_path / "one", 1, 4)
        with pytest.raises(BadInput, match="holds 1 sub-folders with 4 or more pictures; a calibration needs two"):
            run("small", None, folder, None, 10, tmp_path / "out", lambda what, done, total: None)
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(("folder", "dataset"), [(None, None), (Path(), "pets"), (None, "cats")])
    def test_pictures_of_nobody_or_of_two(self, tmp_path: Path, folder: Path | None, dataset: str | None) -> None:
        with pytest.raises(BadInput, match="--images FOLDER, or --dataset pets or digits"):
            run("small", None, folder, dataset, 10, tmp_path / "out", lambda what, done, total: None)

    @pytest.mark.parametrize(
        ("damage", "sentence"),
        [("gone", "is missing: a calibration is a folder"), ("card", "damaged"), ("other", "with other weights")],
    )
    def test_a_calibration_that_does_not_fit(self, tmp_path: Path, damage: str, sentence: str) -> None:
        out = tmp_path / "out"
        run("small", None, folder_of(tmp_path / "in", 2, 4), None, 10, out, lambda what, done, total: None)
        card = json.loads((out / "card.json").read_text())
        if damage == "gone":
            shutil.rmtree(out)
        elif damage == "card":
            (out / "card.json").write_text("{}")
        else:
            (out / "card.json").write_text(json.dumps({**card, "model_id": "0" * 64}))
        with pytest.raises(BadInput, match=sentence):
            load_featurizer("small", calibration=str(out))
