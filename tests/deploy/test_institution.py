"""An institution's folders: read at each pool, in whatever form its disk has the names."""

import unicodedata
from functools import partial
from pathlib import Path

import pytest
from deployment import paint

from deploy.entity import Institution, open_pictures
from parties.pool.holdings import Habits
from protocol.errors import BadInput, ProtocolError
from protocol.messages.pool import Rules

CLASSES = ("café", "thé")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    for seed, name in enumerate(CLASSES):
        paint(tmp_path / "own" / unicodedata.normalize("NFD", name), [0] * 5, seed, 16)
    paint(tmp_path / "own" / "@eaDir" / "thumbs", [0], 9, 16)
    return tmp_path / "own"


@pytest.fixture
def institution(own: Path, tmp_path: Path) -> Institution:
    read = partial(open_pictures, own, None, 0.2)
    return Institution(bytes(32), read(), read, Habits(), tmp_path / "models")


def rules(number: int) -> Rules:
    return Rules(pool=bytes([number] * 32), architecture="compact", reconstructor="px2s2", names=CLASSES, side=16)


def test_pictures_that_came_are_pooled_next_time(institution: Institution, own: Path) -> None:
    institution.enrol(rules(1))
    assert [len(institution.holdings.images), len(institution.holdings.held_back)] == [8, 2]
    paint(own / "the other", [0], 3, 16)
    (own / "the other").rename(own / unicodedata.normalize("NFD", "thé") / "more")
    institution.enrol(rules(2))
    assert [len(institution.holdings.images), len(institution.holdings.held_back)] == [9, 2]


def test_another_class_than_the_pools_is_refused(institution: Institution, own: Path) -> None:
    paint(own / "tisane", [0], 4, 16)
    with pytest.raises(ProtocolError, match="there are pictures of 'tisane', but the pool has the classes café, thé"):
        institution.enrol(rules(1))


def test_the_cloud_learns_no_paths_when_pictures_are_gone(institution: Institution, own: Path) -> None:
    institution.enrol(rules(1))
    images = institution.holdings.images
    own.rename(own.with_name("unplugged"))
    for broken in (lambda: institution.enrol(rules(2)), lambda: images[0]):
        with pytest.raises(ProtocolError, match="its log says") as raised:
            broken()
        assert str(own) not in str(raised.value)


def test_pictures_outside_of_classes_are_refused(own: Path) -> None:
    next(own.rglob("*.png")).rename(own / "loose.png")
    with pytest.raises(BadInput, match="pictures outside of sub-folders"):
        open_pictures(own, None, 0.2)
