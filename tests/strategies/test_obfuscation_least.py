"""The least strength that a threshold asks for is the least there is, by trying all."""

import numpy as np
import pytest
import torch

from simulations.data import pets
from strategies.obfuscation import Obfuscation, group, obfuscate
from strategies.obfuscation.least import NotReached, at_size, least_strength, strengths
from strategies.privacy.stream import Stream
from strategies.scores.privacy_scores import SCORES

KEY = bytes(32)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    drawn = pets.draw(np.arange(24) % 20, 32, torch.Generator().manual_seed(3))
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize(
    ("setting", "score", "at"),
    [
        (Obfuscation("shuffle-mix", (0.75, 0.25)), "dSSIM", 0.6),
        (Obfuscation("pixelize", (1.0,)), "dSSIM", 0.5),
        (Obfuscation("blur-mix", (0.75, 0.25)), "dSSIM", 0.4),
        (Obfuscation("graft-mix", (0.5, 0.5)), "dSSIM", 0.3),
        (Obfuscation("shuffle-noise-mix", strength=(2, 1)), "dSSIM", 0.5),
    ],
)
def test_all_weaker_ones_score_less(images: torch.Tensor, setting: Obfuscation, score: str, at: float) -> None:
    found = least_strength(setting, images, SCORES[score], at, KEY)
    assert found.scores.mean() >= at
    name = list(setting.strengths)[-1]
    values = strengths(name, 32)
    place = list(values).index(found.setting.strengths[name])
    assert place > 0
    for value in values[max(0, place - 6) : place]:
        others = tuple(setting.strengths.values())[:-1]
        tried = Obfuscation(setting.technique, setting.weights, (*others, value) if others else value)
        assert scored(tried, images, score) < at
    if setting.technique == "shuffle-noise-mix":
        assert found.setting.strengths["block"] == 2


def scored(setting: Obfuscation, images: torch.Tensor, score: str) -> torch.Tensor:
    labels = torch.zeros(len(images), dtype=torch.int64)
    groups = group(labels, setting.images, Stream(KEY), repeat=True)
    batch = obfuscate(setting, images[groups], labels[groups], 1, Stream(KEY))
    most = groups.gather(1, batch.weights.argmax(1, keepdim=True))[:, 0]
    return SCORES[score](images[most], batch.pictures).mean()


def test_a_threshold_out_of_reach_is_said(images: torch.Tensor) -> None:
    with pytest.raises(NotReached, match=r"pixelize scores 0\.\d+ at its strongest, blocks 1, less than 1\.5"):
        least_strength(Obfuscation("pixelize"), images, SCORES["dSSIM"], 1.5, KEY)
    with pytest.raises(ValueError, match="mix has no strength"):
        least_strength(Obfuscation("mix"), images, SCORES["dSSIM"], 0.5, KEY)


def test_lengths_shrink_with_the_images_and_hide_no_less() -> None:
    assert at_size(Obfuscation("blur", strength=45), 256, 48).strengths == {"kernel": 9}
    assert at_size(Obfuscation("shuffle-noise-mix", strength=(8, 20)), 256, 48).strengths == {"block": 2, "sigma": 20}
    assert at_size(Obfuscation("pixelize", strength=16), 256, 48).strengths == {"blocks": 16}
    assert at_size(Obfuscation("mix"), 256, 48) == Obfuscation("mix")
    for block in (1, 5, 8, 200, 256):
        length = at_size(Obfuscation("shuffle-mix", strength=block), 256, 48).strengths["block"]
        assert 48 % length == 0
        assert length / 48 >= block / 256
