import hashlib
import io
import pickle
import socket
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets as tv
from conftest import Play, small
from numpy.typing import NDArray
from PIL import Image

from parties.album import Pixels, UnreadableImage
from protocol.errors import BadInput
from simulations.data.people import CLASSES
from simulations.data.published import SOURCES, Photographs, read
from simulations.data.scene import Split
from simulations.data.stock import stock
from simulations.workflows.purchase.world import build
from strategies.features.featurizer import Featurizer

FACES = [(person, index) for person in range(8) for index in range(4)]
"""CelebA in these tests: four pictures each of eight persons; a person is of class `person`, all years alike."""


def picture(index: int, size: int = 16) -> Pixels:
    """A picture of one colour, which survives JPEG."""
    return np.full((size, size, 3), (index * 37 % 256, index * 101 % 256, index * 59 % 256), dtype=np.uint8)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def write_jpeg(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "JPEG", quality=95)


def write_cifar10(root: Path, patch: pytest.MonkeyPatch) -> None:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def batch(name: str, first: int) -> list[str]:
        data = np.stack([picture(first + index, 32).transpose(2, 0, 1).reshape(-1) for index in range(10)])
        (folder / name).write_bytes(pickle.dumps({"data": data, "labels": [index % 5 for index in range(10)]}))
        return [name, md5(folder / name)]

    patch.setattr(tv.CIFAR10, "test_list", [batch("test_batch", 0)])
    patch.setattr(tv.CIFAR10, "train_list", [batch(f"data_batch_{number}", 10 * number) for number in (1, 2)])
    names = [f"class {index}" for index in range(5)]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    meta = {"filename": "batches.meta", "key": "label_names", "md5": md5(folder / "batches.meta")}
    patch.setattr(tv.CIFAR10, "meta", meta)


def write_stl10(root: Path, patch: pytest.MonkeyPatch) -> None:
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)

    def pixels(name: str, first: int, count: int) -> list[str]:
        columns_first = np.stack([picture(first + index, 96).transpose(2, 1, 0) for index in range(count)])
        (folder / name).write_bytes(columns_first.tobytes())
        return [name, md5(folder / name)]

    def labels(name: str, count: int) -> list[str]:
        (folder / name).write_bytes(bytes(1 + index % 5 for index in range(count)))
        return [name, md5(folder / name)]

    patch.setattr(tv.STL10, "test_list", [pixels("test_X.bin", 0, 10), labels("test_y.bin", 10)])
    train = [pixels("train_X.bin", 10, 20), labels("train_y.bin", 20), pixels("unlabeled_X.bin", 30, 2)]
    patch.setattr(tv.STL10, "train_list", train)
    (folder / "class_names.txt").write_text("\n".join(f"class {index}" for index in range(5)))


def write_oxford_pets(root: Path, patch: pytest.MonkeyPatch) -> None:
    folder = root / "oxford-iiit-pet"
    (folder / "annotations").mkdir(parents=True)
    for split, first, count in (("test", 0, 10), ("trainval", 10, 20)):
        lines = []
        for index in range(count):
            breed = index % 5
            name = f"class_{breed}_{first + index}"
            write_jpeg(folder / "images" / f"{name}.jpg", picture(first + index))
            lines.append(f"{name} {breed + 1} 1 1")
        (folder / "annotations" / f"{split}.txt").write_text("\n".join(lines) + "\n")


def write_imagenet(root: Path, patch: pytest.MonkeyPatch) -> None:
    folder = root / "imagenet"
    wnids = [f"n0000000{index}" for index in range(5)]
    for split, first, count in (("val", 0, 10), ("train", 10, 20)):
        for index in range(count):
            file = f"ILSVRC2012_{split}_{index:08}.JPEG"
            write_jpeg(folder / split / wnids[index % 5] / file, picture(first + index))
    torch.save((dict.fromkeys(wnids, ("crane", "bird")), []), folder / "meta.bin")


def write_celeba(root: Path, patch: pytest.MonkeyPatch) -> None:
    folder = root / "celeba"
    folder.mkdir(parents=True)
    names = ["Eyeglasses", "Male", "Smiling", "Young"]
    tables: dict[str, list[str]] = {
        "list_attr_celeba.txt": [str(2 * len(FACES)), " ".join(names) + " "],
        "identity_CelebA.txt": [],
        "list_bbox_celeba.txt": [str(2 * len(FACES)), "image_id x_1 y_1 width height"],
        "list_landmarks_align_celeba.txt": [str(2 * len(FACES)), "lefteye_x lefteye_y righteye_x righteye_y"],
        "list_eval_partition.txt": [],
    }
    for partition in (2, 0):
        for position, (person, index) in enumerate(FACES):
            number = position + (0 if partition == 2 else len(FACES))
            file = f"{number + 1:06}.jpg"
            write_jpeg(folder / "img_align_celeba" / file, picture(number))
            traits = {"Eyeglasses": person & 1, "Young": person & 2, "Male": person & 4, "Smiling": index % 2}
            attributes = "  ".join("1" if traits[name] else "-1" for name in names)
            tables["list_attr_celeba.txt"].append(f"{file} {attributes}")
            tables["identity_CelebA.txt"].append(f"{file} {100 + person + 50 * partition}")
            tables["list_bbox_celeba.txt"].append(f"{file} 1 2 3 4")
            tables["list_landmarks_align_celeba.txt"].append(f"{file} 1 2 3 4")
            tables["list_eval_partition.txt"].append(f"{file} {partition}")
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    patch.setattr(tv.CelebA, "file_list", [("", md5(folder / name), name) for name in tables])


WRITERS: dict[str, Callable[[Path, pytest.MonkeyPatch], None]] = {
    "imagenet": write_imagenet,
    "celeba": write_celeba,
    "stl10": write_stl10,
    "oxford_pets": write_oxford_pets,
    "cifar10": write_cifar10,
}
"""Write a data set of a few pictures in its own format; where torchvision compares MD5 sums, it is told those."""

FILES = ("imagenet", "celeba", "oxford_pets")
"""Data sets with one file per picture."""


class NoNetwork:
    """Refuses connections and counts them."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, *request: object) -> object:
        self.asked += 1
        raise urllib.error.URLError("no network\nat all")


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch) -> NoNetwork:
    refusing = NoNetwork()
    monkeypatch.setattr(urllib.request, "urlopen", refusing)
    monkeypatch.setattr("torchvision.datasets.celeba.download_file_from_google_drive", refusing)
    return refusing


def colours(pictures: Sequence[Pixels]) -> NDArray[np.float64]:
    return np.array([pixels.mean((0, 1)) for pixels in pictures])


def test_every_source_is_tested() -> None:
    assert WRITERS.keys() == SOURCES.keys()


@pytest.mark.parametrize("name", WRITERS)
class TestEveryDataSet:
    """What holds for each of them, read from a folder in its own format."""

    def open(self, name: str, root: Path, patch: pytest.MonkeyPatch, split: Split = "traded") -> Photographs:
        if not any(root.iterdir()):
            WRITERS[name](root, patch)
        return read(name, root, split)

    def test_pictures_and_labels_are_those_of_the_files(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = self.open(name, tmp_path, monkeypatch)
        count = len(FACES) if name == "celeba" else 10
        assert len(found.pictures) == len(found.labels) == count
        opened = [found.pictures[index] for index in range(count)]
        assert all(pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3 for pixels in opened)
        order = np.argsort(np.arange(10) % 5, kind="stable") if name == "imagenet" else np.arange(count)
        # JPEG changes a plain colour by a level or two.
        assert colours(opened) == pytest.approx(colours([picture(int(index)) for index in order]), abs=3)
        classes = np.array([person for person, _ in FACES]) if name == "celeba" else order % 5
        assert found.labels.tolist() == classes.tolist()

    def test_class_names_are_unique_and_cover_the_labels(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = self.open(name, tmp_path, monkeypatch).class_names
        assert len(set(names)) == len(names) == (len(CLASSES) if name == "celeba" else 5)

    def test_no_picture_is_public_and_traded(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        traded = self.open(name, tmp_path, monkeypatch)
        public = self.open(name, tmp_path, monkeypatch, "public")
        seen = {traded.pictures[index].tobytes() for index in range(len(traded.pictures))}
        assert not any(public.pictures[index].tobytes() in seen for index in range(len(public.pictures)))

    def test_a_missing_one_is_one_sentence_and_leaves_nothing(
        self, name: str, tmp_path: Path, network: NoNetwork
    ) -> None:
        patience = socket.getdefaulttimeout()
        with pytest.raises(BadInput) as error:
            read(name, tmp_path / "data")
        sentence = str(error.value)
        assert "\n" not in sentence
        for part in (name, str(tmp_path / "data"), SOURCES[name].url):
            assert part in sentence
        assert list(tmp_path.iterdir()) == []
        assert socket.getdefaulttimeout() == patience
        assert bool(network.asked) == SOURCES[name].downloads == ("no network" in sentence)

    def test_a_damaged_one_is_named_and_nothing_is_downloaded(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: NoNetwork
    ) -> None:
        WRITERS[name](tmp_path, monkeypatch)
        for path in (tmp_path / SOURCES[name].folder).rglob("*"):
            if path.suffix in ("", ".txt", ".bin") and path.is_file():
                path.write_bytes(b"damaged")
        with pytest.raises(BadInput, match=SOURCES[name].folder) as error:
            read(name, tmp_path)
        assert "\n" not in str(error.value)
        assert not network.asked

    def test_pictures_are_opened_on_demand(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        found = self.open(name, tmp_path, monkeypatch)
        with pytest.raises(IndexError):
            found.pictures[len(found.pictures)]
        if name in FILES:
            for path in tmp_path.rglob("*"):
                if path.suffix in (".jpg", ".JPEG"):
                    path.write_bytes(path.read_bytes()[:200])
            with pytest.raises(UnreadableImage):
                found.pictures[0]


class TestDownload:
    """CIFAR-10, served by a web site in this process."""

    @pytest.fixture
    def archive(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
        write_cifar10(tmp_path / "there", monkeypatch)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            tar.add(tmp_path / "there" / "cifar-10-batches-py", "cifar-10-batches-py")
        checksum = hashlib.md5(buffer.getvalue(), usedforsecurity=False).hexdigest()
        monkeypatch.setattr(tv.CIFAR10, "tgz_md5", checksum)
        return buffer.getvalue()

    def serve(self, contents: bytes, patch: pytest.MonkeyPatch) -> None:
        class Response(io.BytesIO):
            url = tv.CIFAR10.url
            length = len(contents)

        patch.setattr(urllib.request, "urlopen", lambda request: Response(contents))

    def test_what_is_missing_is_downloaded_once(
        self, archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: NoNetwork
    ) -> None:
        self.serve(archive, monkeypatch)
        assert len(read("cifar10", tmp_path / "here").pictures) == 10
        assert [path.name for path in (tmp_path / "here").iterdir()] == ["cifar-10-batches-py"]
        monkeypatch.setattr(urllib.request, "urlopen", network)
        assert len(read("cifar10", tmp_path / "here").pictures) == 10

    def test_half_an_archive_leaves_nothing(
        self, archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.serve(archive[: len(archive) // 2], monkeypatch)
        with pytest.raises(BadInput, match="cannot be downloaded"):
            read("cifar10", tmp_path / "here")
        assert not (tmp_path / "here").exists()


class TestCelebA:
    def test_persons_and_attributes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_celeba(tmp_path, monkeypatch)
        found, public = read("celeba", tmp_path), read("celeba", tmp_path, "public")
        assert found.persons is not None
        assert public.persons is not None
        assert found.attributes is not None
        assert len(set(found.persons.tolist())) == 8
        assert set(found.persons.tolist()).isdisjoint(public.persons.tolist())
        assert found.attribute_names == ("Eyeglasses", "Male", "Smiling", "Young")
        assert found.attributes[:, 2].tolist() == [index % 2 == 1 for _, index in FACES]
        assert CLASSES[found.labels[-1]] == "young men with eyeglasses"

    def test_an_album_of_one_person(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_celeba(tmp_path, monkeypatch)
        dealt = stock("celeba", 1, tmp_path).deal([np.full(3, 5), np.full(9, 2), np.full(2, 5)], one_person=True)
        assert [labels.tolist() for _, labels in dealt] == [[5] * 3, [2] * 4, []]
        for album, labels in dealt:
            shown = colours([album[index] for index in range(len(album))])
            own = colours([picture(index) for index, (person, _) in enumerate(FACES) if person in labels])
            assert all((abs(own - colour).max(1) <= 3).any() for colour in shown)


def test_a_purchase_of_photographs(play_purchase: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stl10(tmp_path, monkeypatch)
    played = play_purchase(small(dataset="stl10", data_root=str(tmp_path), buyer={"samples": {"count": 2}}))
    assert played.record.offers
    assert played.world.class_names == tuple(f"class {index}" for index in range(5))


def test_a_world_says_what_is_missing(featurizer: Featurizer, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="data set cifar10 is not in"):
        build(small(dataset="cifar10", data_root=str(tmp_path)), featurizer, tmp_path / "bought")
