"""Every obfuscation of the paper against its definition, one contract for all."""

import numpy as np
import pytest
import torch
from obfuscation_contract import ObfuscationContract, floats, mixture, noise, one
from scipy import ndimage, stats

from strategies.obfuscation import Obfuscation
from strategies.obfuscation.blurring import gaussian_kernel


class TestMix(ObfuscationContract):
    technique, random = "mix", False

    def test_is_the_weighted_sum(self) -> None:
        batch = one(Obfuscation("mix", weights=(0.6, 0.4)), self.sources())
        expected = 0.6 * floats(self.sources()[:, 0]) + 0.4 * floats(self.sources()[:, 1])
        assert np.abs(floats(batch.pictures) - expected).max() <= 0.51


class TestMixOfThree(ObfuscationContract):
    technique, random = "mix-3", False

    def test_the_largest_weight_names_the_class(self) -> None:
        batch = one(Obfuscation("mix-3", weights=(0.2, 0.1, 0.7)), self.sources())
        assert batch.labels.tolist() == [2] * 4
        assert np.abs(floats(batch.pictures) - mixture(self.sources(), batch.weights)).max() <= 0.51


class TestGrafting(ObfuscationContract):
    technique = "graft-mix"

    def test_every_pixel_is_kept_or_mixed(self) -> None:
        batch = one(Obfuscation("graft-mix", weights=(0.25, 0.75), strength=0.7), self.sources())
        first, mixed = floats(self.sources()[:, 0]), mixture(self.sources(), torch.tensor([[0.25, 0.75]] * 4))
        kept = (floats(batch.pictures) == first).all(axis=1)
        is_mixed = (np.abs(floats(batch.pictures) - mixed) <= 0.51).all(axis=1)
        assert (kept | is_mixed).all()
        assert kept.mean() == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / kept.size))

    def test_the_label_follows_from_what_each_image_contributes(self) -> None:
        for weight, kept, label in ((0.2, 0.5, 0), (0.2, 0.3, 1), (0.4, 0.2, 0), (0.0, 0.45, 1)):
            batch = one(Obfuscation("graft-mix", weights=(weight, 1 - weight), strength=kept), self.sources())
            assert set(batch.labels.tolist()) == {label}
            assert batch.weights[0, 0] == pytest.approx(kept + (1 - kept) * weight)

    def test_no_share_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"between 0 and 1, not at 1\.5"):
            one(Obfuscation("graft-mix", strength=1.5), self.sources())


class TestShuffling(ObfuscationContract):
    technique = "shuffle-mix"

    @pytest.mark.parametrize("block", [1, 4, 16])
    def test_pixels_stay_whole_and_within_their_square(self, block: int) -> None:
        sources = noise(2, 1, 3, 32, 48)
        shuffled = one(Obfuscation("shuffle-mix", weights=(1.0,), strength=block), sources).pictures
        for before, after in zip(sources[:, 0], shuffled, strict=True):
            squares = [image.unfold(1, block, block).unfold(2, block, block) for image in (before, after)]
            sets = [np.sort(square.permute(1, 2, 3, 4, 0).reshape(-1, block**2, 3).numpy() @ [65536, 256, 1])
                    for square in squares]  # fmt: skip
            assert (sets[0] == sets[1]).all()
        assert torch.equal(shuffled, sources[:, 0]) == (block == 1)

    def test_permutations_are_uniform_and_independent(self) -> None:
        places = torch.arange(16, dtype=torch.uint8).reshape(4, 4).repeat(64, 64).expand(1, 2, 3, -1, -1)
        shuffled = one(Obfuscation("shuffle-mix", weights=(1.0, 0.0), strength=4), places).pictures[0, 0]
        squares = shuffled.unfold(0, 4, 4).unfold(1, 4, 4).reshape(-1, 16).numpy()
        for place in range(16):
            assert stats.chisquare(np.bincount(squares[:, place], minlength=16)).pvalue > 1e-4
        table = np.zeros((16, 16))
        np.add.at(table, (squares[:-1, 0], squares[1:, 0]), 1)
        assert stats.chi2_contingency(table).pvalue > 1e-4

    def test_the_images_of_a_mixture_are_shuffled_apart(self) -> None:
        image = noise(1, 1, 3, 32, 32)
        shuffled = one(Obfuscation("shuffle-mix", weights=(0.5, 0.5)), torch.cat([image, image], dim=1))
        alone = one(Obfuscation("shuffle-mix", weights=(1.0,)), image)
        assert shuffled.pictures.double().std() < 0.8 * alone.pictures.double().std()

    def test_squares_that_do_not_tile_are_refused(self) -> None:
        with pytest.raises(ValueError, match="squares of 7 pixels do not tile pictures of 64x48"):
            one(Obfuscation("shuffle-mix", strength=7), self.sources())


class TestNoise(ObfuscationContract):
    technique = "noise-mix"

    @pytest.mark.parametrize("weights", [(1.0,), (0.75, 0.25), (0.5, 0.33, 0.17)])
    def test_noise_is_that_of_every_image_mixed(self, weights: tuple[float, ...]) -> None:
        grey = torch.full((2, len(weights), 3, 64, 64), 120, dtype=torch.uint8)
        values = floats(one(Obfuscation("noise-mix", weights=weights, strength=20), grey).pictures).ravel() - 120
        sigma = 20 * np.linalg.norm(weights)
        assert values.std() == pytest.approx(np.hypot(sigma, 12**-0.5), rel=0.02)
        assert abs(values.mean()) < 4 * sigma / np.sqrt(values.size)
        # Rounded to integers; dithering makes the test for normality continuous again.
        dither = np.random.default_rng(0).uniform(-0.5, 0.5, values.size)
        assert stats.kstest((values + dither) / np.hypot(sigma, 6**-0.5), "norm").pvalue > 1e-4


class TestShufflingWithNoise(ObfuscationContract):
    technique = "shuffle-noise-mix"

    def test_means_of_squares_stay_and_noise_is_that_of_every_image_mixed(self) -> None:
        sources = (noise(2, 2, 3, 64, 64) // 4 + 96).to(torch.uint8)
        setting = Obfuscation("shuffle-noise-mix", weights=(0.6, 0.4), strength=(4, 20))
        quiet = Obfuscation("shuffle-noise-mix", weights=(0.6, 0.4), strength=(4, 1e-9))
        expected = mixture(sources, torch.tensor([[0.6, 0.4]] * 2))
        loud, still = (floats(one(each, sources).pictures) for each in (setting, quiet))
        squares = [each.reshape(2, 3, 16, 4, 16, 4).mean(axis=(3, 5)) for each in (expected, still)]
        assert np.abs(squares[0] - squares[1]).max() < 0.51
        assert np.abs(expected - still).max() > 5
        assert (loud - still).std() == pytest.approx(20 * np.hypot(0.6, 0.4), rel=0.03)

    def test_one_number_of_two_is_refused(self) -> None:
        with pytest.raises(ValueError, match="the strength of shuffle-noise-mix is block and sigma, not 1 numbers"):
            Obfuscation("shuffle-noise-mix", strength=4)


class TestPixelizing(ObfuscationContract):
    technique, random = "pixelize-mix", False

    @pytest.mark.parametrize("blocks", [1, 16, 20, 48])
    def test_every_block_is_its_mean(self, blocks: int) -> None:
        sources = self.sources()
        batch = one(Obfuscation("pixelize-mix", strength=blocks), sources)
        mixed = mixture(sources, batch.weights)
        rows, columns = np.arange(48) * blocks // 48, np.arange(64) * blocks // 64
        for row in range(blocks):
            for column in range(blocks):
                where = np.ix_(range(4), range(3), rows == row, columns == column)
                means = mixed[where].mean(axis=(2, 3), keepdims=True)
                assert np.abs(floats(batch.pictures)[where] - means).max() <= 0.51
        assert len(np.unique(rows)) == blocks

    def test_more_blocks_than_pixels_are_refused(self) -> None:
        with pytest.raises(ValueError, match="a side of 48 pixels has no 49 blocks"):
            one(Obfuscation("pixelize-mix", strength=49), self.sources())


class TestBlurring(ObfuscationContract):
    technique, random = "blur-mix", False

    def test_blurring_before_or_after_mixing_is_the_same(self) -> None:
        sources = self.sources()
        batch = one(Obfuscation("blur-mix", strength=9), sources)
        kernel = gaussian_kernel(9).double().numpy()
        before = floats(sources)
        for axis in (3, 4):
            before = ndimage.correlate1d(before, kernel, axis=axis, mode="mirror")
        expected = np.einsum("mk,mkchw->mchw", floats(batch.weights), before)
        assert np.abs(floats(batch.pictures) - expected).max() <= 0.51

    def test_kernels_that_cannot_be_are_refused(self) -> None:
        with pytest.raises(ValueError, match="an odd number of pixels wide, not 8"):
            one(Obfuscation("blur-mix", strength=8), self.sources())
        with pytest.raises(ValueError, match="97 pixels is too wide for pictures of 64x48"):
            one(Obfuscation("blur-mix", strength=97), self.sources())


class TestPixelizingOnly(ObfuscationContract):
    technique, random = "pixelize", False


class TestBlurringOnly(ObfuscationContract):
    technique, random = "blur", False


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="there is no obfuscation smear; choose from mix, "):
        Obfuscation("smear")
    with pytest.raises(ValueError, match="mix has no strength to set"):
        Obfuscation("mix", strength=3)
    for weights in ((), (0.0, 0.0), (1.5, -0.5)):
        with pytest.raises(ValueError, match="weights are positive"):
            Obfuscation("mix", weights=weights)
