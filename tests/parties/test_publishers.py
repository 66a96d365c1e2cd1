"""Publishers add the noise themselves, always the same; careless ones are averaged out."""

import numpy as np
import pytest

from parties.adversaries import ADVERSARIES
from parties.publish.publisher import Publisher
from parties.publish.reader import Reader
from parties.publish.workflow import Curator, Publish, PublishRecord
from parties.workflow import WorkflowFailed
from protocol.crypto.secret_parts import SecretPartBroken, unseal
from protocol.exchange import Exchange
from protocol.flower import task_identity
from protocol.grids import LocalGrid
from protocol.messages.publish import CallForPictures, Setting
from strategies.dp_images.p3 import render, split

SNOW = CallForPictures(
    method="snow", mechanism="snow", settings=(Setting(name="delta", value=0.5, whole=False),), most=3
)


def album(count: int, seed: int, size: int = 16) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8))


def publishers(role: type[Publisher] = Publisher, count: int = 3) -> list[Publisher]:
    return [role(bytes([number]) * 32, album(5, number), [0, 1, 0, 1, 0], 4) for number in range(count)]


def published(parties: list[Publisher], call: CallForPictures = SNOW, asks: int = 1) -> PublishRecord:
    apps = [Reader(bytes(32)).client_app(), *(party.client_app() for party in parties)]
    with LocalGrid(apps) as grid, task_identity(1):
        return Publish(Curator(bytes(32), [call], asks), Exchange(grid)).run()


def test_everybody_publishes_so_many_and_the_order_tells_nothing() -> None:
    (found,) = published(publishers()).collections
    assert len(found.gallery.pictures) == 3 * 3
    assert sorted(np.unique(found.owners, return_counts=True)[1].tolist()) == [3, 3, 3]
    assert not np.array_equal(found.owners, np.sort(found.owners))
    originals = np.array([album(5, 0), album(5, 1), album(5, 2)])
    first = found.owners.min()
    for picture, label, owner, place in zip(
        found.gallery.pictures, found.gallery.labels, found.owners, found.places, strict=True
    ):
        same = (picture == originals[owner - first, place]).all(axis=2)
        assert (same | (picture == 127).all(axis=2)).all()
        assert 0.3 < same.mean() < 0.7
        assert label == place % 2


def test_publishers_never_publish_more_than_they_want() -> None:
    (found,) = published(publishers(), SNOW.model_copy(update={"most": 100})).collections
    assert np.unique(found.owners, return_counts=True)[1].tolist() == [4, 4, 4]


def test_asking_again_brings_the_same_noise_but_not_from_the_careless() -> None:
    """The attack succeeds on the careless: of 12 snowed copies, next to no pixel is hidden in all."""
    honest = published(publishers(), asks=3).collections
    assert all(np.array_equal(each.gallery.pictures, honest[0].gallery.pictures) for each in honest)
    careless = ADVERSARIES["careless-publisher"].cast()
    collections = published(publishers(careless), asks=12).collections  # type: ignore[arg-type]
    hidden = np.all([(each.gallery.pictures == 127).all(axis=3) for each in collections], axis=0)
    assert hidden.mean() < 0.01
    assert (honest[0].gallery.pictures == 127).all(axis=3).mean() > 0.4


def test_mislabelled_pictures_are_the_same_pictures() -> None:
    right = published(publishers()).collections[0].gallery
    wrong = published(publishers(ADVERSARIES["mislabelling-publisher"].cast())).collections[0].gallery  # type: ignore[arg-type]
    assert np.array_equal(right.pictures, wrong.pictures)
    assert (right.labels != wrong.labels).all()


def test_friends_open_what_p3_keeps_from_strangers() -> None:
    parties = publishers()
    call = CallForPictures(
        method="p3", mechanism="p3", most=2, settings=(Setting(name="threshold", value=10.0, whole=True),)
    )
    (found,) = published(parties, call).collections
    place, owner = int(found.places[0]), int(found.owners[0] - found.owners.min())
    parts = split(parties[owner].album[place], 10)
    secret = unseal(parties[owner].friends_key("p3"), found.gallery.sealed[0], parts.secret.shape)
    assert np.array_equal(secret, parts.secret)
    assert np.array_equal(found.gallery.pictures[0], render(parts.public))
    with pytest.raises(SecretPartBroken):
        unseal(parties[owner - 1].friends_key("p3"), found.gallery.sealed[0], parts.secret.shape)
    with pytest.raises(SecretPartBroken, match="not of shape"):
        unseal(parties[owner].friends_key("p3"), found.gallery.sealed[0], (1, 1))


def test_one_that_cannot_publish_fails_alone() -> None:
    parties = publishers()
    parties[1].album = album(5, 1, size=6)
    call = CallForPictures(
        method="pix", mechanism="dp-pix", most=2,
        settings=(Setting(name="epsilon", value=1.0, whole=False), Setting(name="cell", value=8.0, whole=True)),
    )  # fmt: skip
    record = published(parties, call)
    assert len(record.collections[0].owners) == 4
    ((step, _, why),) = record.failures
    assert step == "publish"
    assert "a picture of 6x6 is smaller than one cell of 8x8 pixels" in why


def test_nothing_at_all_is_one_sentence() -> None:
    with pytest.raises(WorkflowFailed, match="no pictures were published by snow: there are no owners"):
        published([])
    unknown = CallForPictures(method="x", mechanism="dp-pyx", settings=(), most=1)
    with pytest.raises(WorkflowFailed, match=r"no pictures were published by x: .*there is no mechanism dp-pyx"):
        published(publishers(), unknown)


def test_noise_is_of_the_whole_question() -> None:
    """Another setting, another picture: noise that has nothing to do with that of before."""
    pix = [
        SNOW.model_copy(
            update={"mechanism": "dp-pix", "settings": (Setting(name="epsilon", value=value, whole=False),)}
        )
        for value in (400.0, 200.0)
    ]
    strong, weak = (published(publishers(), call).collections[0].gallery.pictures.astype(float) for call in pix)
    truth = (
        published(publishers(), SNOW.model_copy(update={"mechanism": "pixelize", "settings": ()}))
        .collections[0]
        .gallery.pictures
    )
    assert abs(np.corrcoef((strong - truth).flatten(), (weak - truth).flatten())[0, 1]) < 0.5
    assert not np.array_equal(strong, weak)
