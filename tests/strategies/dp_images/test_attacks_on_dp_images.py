"""Which promises keep a picture from being restored, and a person from being recognised (the survey's Fig. 1)."""

import numpy as np
import pytest
import torch
from torch import Tensor

from simulations.data.faces import draw
from strategies.dp_images import DPSVD, DPPix, Mechanism, Snow
from strategies.dp_images.attacks import colours, combined, melt, recogniser, restorer
from strategies.dp_images.baselines import P3
from strategies.learning.classifier import classify
from strategies.privacy.stream import Stream
from strategies.scores.privacy_scores import dssim

PERSONS, EPOCHS = 8, 10


def faces(count: int, seed: int, *, public: bool = False) -> tuple[Tensor, np.ndarray]:
    who = np.arange(count) if public else np.arange(count) % PERSONS
    drawn = draw(who, 48, torch.Generator().manual_seed(seed), "public" if public else "traded")
    return torch.from_numpy(drawn.images).permute(0, 3, 1, 2).contiguous(), who


@pytest.fixture(scope="module")
def public() -> Tensor:
    return faces(300, 1, public=True)[0]


@pytest.fixture(scope="module")
def originals() -> Tensor:
    return faces(60, 2)[0]


def unlikeness(mechanism: Mechanism, originals: Tensor, public: Tensor) -> tuple[float, float]:
    """Return the mean dSSIM of what was published, and of what was restored."""
    published = mechanism.publish(originals, Stream(bytes([3] * 32)))
    restored = restorer(mechanism, public)(published)
    return tuple(dssim(originals, pictures).mean().item() for pictures in (published, restored))  # type: ignore[return-value]


def test_snow_melts(originals: Tensor, public: Tensor) -> None:
    """Half of the pixels gone: interpolated, the picture is there (margins: four times the spread over seeds)."""
    published, restored = unlikeness(Snow(0.5), originals, public)
    assert published > 0.5
    assert restored < 0.15
    published, restored = unlikeness(Snow(0.1), originals, public)
    assert published > 0.7
    assert restored < 0.45


def test_what_p3_takes_away_is_guessed(originals: Tensor, public: Tensor) -> None:
    published, restored = unlikeness(P3(15), originals, public)
    assert published > 0.45
    assert restored < 0.33


def test_usual_strengths_undo_strong_noise_on_singular_values(originals: Tensor, public: Tensor) -> None:
    published, restored = unlikeness(DPSVD(0.001), originals, public)
    assert restored < published - 0.03


def test_denoising_finds_nothing_behind_strong_pixelization(originals: Tensor, public: Tensor) -> None:
    """Compared with the mean of public pictures, which needs no published one at all."""
    _, restored = unlikeness(DPPix(0.5, cell=8), originals, public)
    mean = public.double().mean(0).round().to(torch.uint8).expand_as(originals)
    assert restored > dssim(originals, mean).mean().item() - 0.05
    _, weaker = unlikeness(DPPix(50.0, cell=8), originals, public)
    assert weaker < restored - 0.1


def test_fresh_noise_is_combined_away(originals: Tensor) -> None:
    stream = Stream(bytes([7] * 32))
    for mechanism, left in ((Snow(0.3), 0.05), (DPPix(5.0, cell=8), 0.6)):
        publications = [mechanism.publish(originals, stream) for _ in range(12)]
        error = [
            (each.float() - originals.float()).abs().mean()
            for each in (publications[0], combined(mechanism, publications))
        ]
        assert error[1] < left * error[0]
        assert torch.equal(combined(mechanism, publications[:1] * 3), publications[0])


def test_a_picture_of_which_nothing_is_kept_stays_grey() -> None:
    grey = torch.full((1, 1, 16, 16), 127, dtype=torch.uint8)
    assert torch.equal(melt(grey), grey)


def test_people_are_recognised_behind_snow_but_not_behind_noisy_cells(public: Tensor) -> None:
    """McPherson's recogniser, with 8 persons: melted snow >> DP-Pix, which is near chance (1 in 8)."""
    (known, who), (own, owners) = faces(240, 4), faces(160, 5)
    generator, stream = torch.Generator().manual_seed(6), Stream(bytes([6] * 32))

    def share(mechanism: Mechanism) -> float:
        restore = restorer(mechanism, public)
        network = recogniser(
            known, who, PERSONS, lambda pictures: restore(mechanism.publish(pictures, stream)), generator,
            epochs=EPOCHS,
        )  # fmt: skip
        named = classify(network, colours(restore(mechanism.publish(own, stream))))
        return float((named == owners).mean())

    melted, pixelized = share(Snow(0.3)), share(DPPix(1.0, cell=8))
    assert melted > 0.7
    assert pixelized < 0.4
