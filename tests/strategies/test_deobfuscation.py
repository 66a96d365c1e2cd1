"""Every attack on obfuscated pictures succeeds against an undefended or weakly obfuscated batch."""

import numpy as np
import pytest
import torch
from torch import Tensor

from simulations.data import pets
from strategies.obfuscation import Obfuscation, group, obfuscate
from strategies.obfuscation.reconstruction import reconstruct, train_reconstructor
from strategies.obfuscation.restoration import deconvolve, denoise, interpolate, ungraft
from strategies.obfuscation.unmixing import detail, unmix
from strategies.privacy.stream import Stream
from strategies.scores.privacy_scores import dssim, mse

IMAGES = 40


def portraits(count: int, size: int) -> Tensor:
    drawn = pets.draw(np.arange(count) % 20, size, torch.Generator().manual_seed(3))
    return torch.from_numpy(drawn).permute(0, 3, 1, 2).contiguous()


@pytest.fixture(scope="module")
def originals() -> Tensor:
    return portraits(IMAGES, 64)


def epoch(setting: Obfuscation, images: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """What an epoch publishes, and which mixture each image is in."""
    stream = Stream(seed.to_bytes(32))
    labels = torch.arange(len(images)) % 20
    groups = group(labels, setting.images, stream)
    holders = torch.empty(len(images), dtype=torch.int64)
    holders[groups.flatten()] = torch.arange(len(groups)).repeat_interleave(setting.images)
    return obfuscate(setting, images[groups], labels[groups], 20, stream).pictures, holders


def obfuscated(setting: Obfuscation, images: Tensor) -> Tensor:
    """Every image obfuscated, mixed with the next."""
    sources = torch.stack([images, images.roll(1, 0)], dim=1)[:, : setting.images]
    labels = torch.zeros(sources.shape[:2], dtype=torch.int64)
    return obfuscate(setting, sources, labels, 1, Stream(bytes(32))).pictures


class TestUnmixing:
    @pytest.mark.parametrize(
        ("setting", "epochs", "smoothing", "found_at_least", "dissimilarity"),
        [
            (Obfuscation("mix", (0.75, 0.25)), 3, 1, 0.8, 0.02),
            (Obfuscation("mix", (0.5, 0.5)), 4, 1, 0.95, 0.04),
            (Obfuscation("noise-mix", (0.5, 0.5), 20), 8, 3, 0.9, 0.32),
        ],
    )
    def test_recovers_the_originals(
        self, setting: Obfuscation, epochs: int, smoothing: int, found_at_least: float, dissimilarity: float
    ) -> None:
        images = portraits(IMAGES, 48)
        view, holders = zip(*(epoch(setting, images, seed) for seed in range(epochs)), strict=True)
        assert isinstance(setting.weights, tuple)
        weights = setting.weights[1], setting.weights[0]
        taken = unmix(view, 2, IMAGES, weights=weights, smoothing=smoothing)
        where = (detail(images, 3) @ detail(taken.pictures, 3).T).argmax(dim=1)
        groups, mixtures = taken.groups.split(IMAGES // 2), range(IMAGES)
        held = [[int(where[image]) in part[holder[image]] for part, holder in zip(groups, holders, strict=True)]
                for image in mixtures]  # fmt: skip
        assert torch.tensor(held).all(dim=1).double().mean() >= found_at_least
        recovered = dssim(images, taken.pictures[where]).median()
        published = dssim(images, view[0][holders[0]]).median()
        assert recovered < dissimilarity < published

    def test_more_epochs_average_the_noise_away(self) -> None:
        images, setting = portraits(IMAGES, 48), Obfuscation("noise-mix", (0.5, 0.5), 20)
        view = [epoch(setting, images, seed)[0] for seed in range(16)]
        nearest = []
        for epochs in (4, 16):
            pictures = unmix(view[:epochs], 2, IMAGES, weights=(0.5, 0.5), smoothing=3).pictures
            errors = (images.double()[:, None] - pictures.double()).square().mean(dim=(2, 3, 4))
            nearest.append(errors.min(dim=1).values.median())
        assert nearest[1] < nearest[0] / 2

    def test_two_epochs_are_refused(self) -> None:
        mixtures = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
        with pytest.raises(ValueError, match="3 epochs of at least two mixtures, not 2"):
            unmix([mixtures, mixtures], 2, 8)

    @pytest.mark.parametrize(
        ("setting", "repeat", "known", "at_most"),
        [
            (Obfuscation("mix", "distorting"), False, False, 0.05),
            (Obfuscation("noise-mix", "distorting", 20), False, False, 0.35),
            (Obfuscation("noise-mix", (0.75, 0.25), 20), True, True, 0.2),
            (Obfuscation("mix-3"), False, True, 0.1),
            (Obfuscation("mix", (0.4, 0.3, 0.2, 0.1)), False, True, 0.25),
            (Obfuscation("mixup"), False, False, 0.1),
            (Obfuscation("graft-mix"), False, False, 0.25),
            (Obfuscation("instahide", (0.6, 0.4)), False, True, 0.85),
        ],
        ids=lambda value: value.technique if isinstance(value, Obfuscation) else None,
    )
    def test_any_weights_any_number_any_use_and_signs(
        self, setting: Obfuscation, repeat: bool, known: bool, at_most: float
    ) -> None:
        images, labels = portraits(60, 48), torch.arange(60) % 20
        view = []
        for number in range(8):
            stream = Stream((number + 1).to_bytes(32))
            groups = group(labels, setting.images, stream, repeat=repeat)
            view.append(obfuscate(setting, images[groups], labels[groups], 20, stream).pictures)
        weights = setting.weights or setting.info.weights
        taken = unmix(
            view, setting.images, 60, weights=weights if known and isinstance(weights, tuple) else None,
            smoothing=3 if setting.technique == "noise-mix" else 1, signed=setting.technique != "instahide",
        )  # fmt: skip
        best = (detail(images, 3) @ detail(taken.pictures, 3).T).argmax(dim=1)
        published = (
            torch.stack([dssim(images[groups[:, role]], view[-1]) for role in range(setting.images)]).min(0).values
        )
        recovered = dssim(images, taken.pictures[best]).mean()
        assert recovered < at_most
        assert recovered < published.mean()

    def test_detail_correlates_where_an_image_is_shared_only(self, originals: Tensor) -> None:
        mixed = [
            detail(obfuscated(Obfuscation("mix", (0.5, 0.5)), images)) for images in (originals, originals.roll(1, 0))
        ]
        alike = mixed[0] @ mixed[1].T
        # Mixture i is of images i and i - 1, in the other batch of i - 1 and i - 2.
        places = torch.arange(IMAGES)
        shared = torch.zeros_like(alike, dtype=torch.bool)
        for shift in (0, 1, 2):
            shared[places, (places + shift) % IMAGES] = True
        assert alike[shared].min() > alike[~shared].max()


class TestInterpolation:
    @pytest.mark.parametrize(("share", "at_most"), [(0.5, 0.15), (0.1, 0.4)])
    def test_recovers_most_of_what_was_removed(self, originals: Tensor, share: float, at_most: float) -> None:
        known = torch.rand(IMAGES, 64, 64, generator=torch.Generator().manual_seed(1)) < share
        snow = torch.where(known[:, None], originals, torch.tensor(127, dtype=torch.uint8))
        restored = interpolate(snow, known)
        assert dssim(originals, restored).mean() < at_most < 0.55 < dssim(originals, snow).mean()
        kept = known[:, None].expand_as(snow)
        assert torch.equal(restored[kept], originals[kept])

    def test_a_single_pixel_fills_the_picture(self) -> None:
        known = torch.zeros(1, 40, 20, dtype=torch.bool)
        known[0, 39, 0] = True
        picture = torch.zeros(1, 3, 40, 20, dtype=torch.uint8)
        picture[0, :, 39, 0] = torch.tensor([10, 20, 30], dtype=torch.uint8)
        restored = interpolate(picture, known)
        assert restored.unique(dim=2).unique(dim=3).flatten().tolist() == [10, 20, 30]
        with pytest.raises(ValueError, match="no pixel is known"):
            interpolate(picture, torch.zeros_like(known))

    @pytest.mark.parametrize("weights", [(0.0, 1.0), (0.5, 0.5)])
    def test_undoes_grafting(self, originals: Tensor, weights: tuple[float, float]) -> None:
        published = obfuscated(Obfuscation("graft-mix", weights, 0.8), originals)
        restored = ungraft(published, 0.8)
        assert dssim(originals, restored).mean() < 0.75 * dssim(originals, published).mean()
        with pytest.raises(ValueError, match=r"not a share of 0\.5"):
            ungraft(published, 0.5)


class TestDenoising:
    def test_undoes_noise_alone(self, originals: Tensor) -> None:
        published = obfuscated(Obfuscation("noise-mix", (1.0,), 20), originals)
        restored = denoise(published, 20)
        assert mse(originals, restored).mean() < mse(originals, published).mean() / 3
        assert dssim(originals, restored).mean() < 0.6 * dssim(originals, published).mean()
        assert denoise(published[:0], 20).shape == (0, 3, 64, 64)


class TestDeconvolution:
    @pytest.mark.parametrize("setting", [Obfuscation("blur", strength=9), Obfuscation("blur-mix", strength=17)])
    def test_undoes_blur(self, originals: Tensor, setting: Obfuscation) -> None:
        published = obfuscated(setting, originals)
        assert setting.strength is not None
        restored = deconvolve(published, int(setting.strength))
        assert dssim(originals, restored).mean() < 0.8 * dssim(originals, published).mean()

    def test_the_border_is_restored_as_well_as_the_middle(self, originals: Tensor) -> None:
        restored = deconvolve(obfuscated(Obfuscation("blur", strength=9), originals), 9)
        errors = (restored.double() - originals.double()).abs()
        assert errors[:, :, :8].mean() < 1.3 * errors[:, :, 24:40].mean()


class TestReconstruction:
    def test_learns_to_undo_from_known_pairs(self) -> None:
        images, told = portraits(136, 32), list[int]()
        published = obfuscated(Obfuscation("pixelize", strength=8), images)
        network = train_reconstructor(
            published[:96], images[:96], torch.Generator().manual_seed(1), epochs=6,
            progress=lambda epoch, loss: told.append(epoch),
        )  # fmt: skip
        restored = reconstruct(network, published[96:])
        assert restored.dtype == torch.uint8
        assert mse(images[96:], restored).mean() < 0.8 * mse(images[96:], published[96:]).mean()
        assert dssim(images[96:], restored).mean() < dssim(images[96:], published[96:]).mean()
        assert told == list(range(1, 7))
        assert not network.training

    def test_the_generator_alone_decides_the_weights(self) -> None:
        images = portraits(8, 16)
        torch.manual_seed(1)
        first = train_reconstructor(images, images, torch.Generator().manual_seed(5), epochs=1)
        torch.manual_seed(2)
        untouched = torch.get_rng_state()
        again = train_reconstructor(images, images, torch.Generator().manual_seed(5), epochs=1)
        assert torch.equal(torch.get_rng_state(), untouched)
        for name, tensor in first.state_dict().items():
            assert torch.equal(tensor, again.state_dict()[name]), name

    def test_pairs_that_do_not_suit_are_refused(self) -> None:
        images = torch.zeros(4, 3, 16, 16, dtype=torch.uint8)
        with pytest.raises(ValueError, match="two pairs or more, of one size"):
            train_reconstructor(images, images[:3], torch.Generator())
        with pytest.raises(ValueError, match=r"multiples of 4, not \(14, 16\)"):
            train_reconstructor(images[:, :, :14], images[:, :, :14], torch.Generator())
