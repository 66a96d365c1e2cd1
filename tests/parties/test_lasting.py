"""What was bought is on the disk before the buyer says so."""

import os
from pathlib import Path

import pytest
from durable import Town


def test_an_image_is_on_the_disk_before_the_buyer_says_that_it_came_and_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    town, synced, sync = Town(tmp_path), set(), os.fsync
    heard: list[str] = []
    unsure: list[Path] = []

    def watched(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        sync(descriptor)

    def point(kind: str) -> None:
        if kind in ("answer receive", "answer verify"):
            held = [town.bought(), *town.bought().rglob("*")]
            heard.append(kind)
            unsure.extend(path for path in held if path.stat().st_ino not in synced)

    monkeypatch.setattr(os, "fsync", watched)
    town.play(point)
    assert heard == ["answer receive", "answer verify"]
    assert unsure == []
    assert len(list(town.bought().rglob("*.png"))) == 2
