"""Every obfuscation against its definition, one contract for all."""

from abc import ABC
from time import process_time
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, stats
from torch import Tensor

from simulations.datasets import pets
from strategies.obfuscation import OBFUSCATIONS, Obfuscated, Obfuscation, group, obfuscate
from strategies.obfuscation.blurring import gaussian_blur, gaussian_kernel
from strategies.obfuscation.guarantee import mixing_epsilon
from strategies.obfuscation.weights import beta_weights, capped_weights, distorting_weights, dominant
from strategies.privacy_scores import dssim

CLASSES = 5
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def one(obfuscation: Obfuscation, sources: Tensor, seed: int = 1, device: str = "cpu") -> Obfuscated:
    """Obfuscate sources whose images show classes 0, 1, 2, ..."""
    labels = torch.arange(sources.shape[1]).expand(len(sources), -1) % CLASSES
    generator = torch.Generator(device).manual_seed(seed)
    return obfuscate(obfuscation, sources.to(device), labels.to(device), CLASSES, generator)


def floats(tensor: Tensor) -> np.ndarray:
    return tensor.double().numpy()


class ObfuscationContract(ABC):
    """What holds for every obfuscation."""

    technique: str
    random = True

    @property
    def obfuscation(self) -> Obfuscation:
        return Obfuscation(self.technique)

    def sources(self, mixtures: int = 4, height: int = 48, width: int = 64) -> Tensor:
        return noise(mixtures, self.obfuscation.images, 3, height, width)

    @pytest.mark.parametrize("device", DEVICES)
    def test_gives_one_picture_and_label_per_group_on_the_device_of_the_sources(self, device: str) -> None:
        batch = one(self.obfuscation, self.sources(), device=device)
        assert batch.pictures.shape == (4, 3, 48, 64)
        assert batch.pictures.dtype == torch.uint8
        assert {tensor.device.type for tensor in batch} == {device}
        assert batch.weights.shape == (4, self.obfuscation.images)
        torch.testing.assert_close(batch.weights.sum(1).cpu(), torch.ones(4))
        if self.obfuscation.info.label == "shares":
            assert batch.labels.shape == (4, CLASSES)
            torch.testing.assert_close(batch.labels.sum(1).cpu(), torch.ones(4))
        else:
            assert batch.labels.shape == (4,)
            assert batch.labels.dtype == torch.int64
            assert 0 <= batch.labels.min() <= batch.labels.max() < CLASSES

    def test_black_and_white_do_not_wrap_around(self) -> None:
        shades = one(self.obfuscation, torch.tensor([0, 255]).byte()[:, None, None, None, None].expand_as(
            self.sources(2)).contiguous()).pictures.double().mean(dim=(1, 2, 3))  # fmt: skip
        if self.technique == "instahide":
            assert abs(shades - 127.5).max() < 10
        else:
            assert shades[0] < 64
            assert shades[1] > 191

    @pytest.mark.parametrize("device", DEVICES)
    def test_the_seed_alone_decides(self, device: str) -> None:
        torch.manual_seed(0)
        first = one(self.obfuscation, self.sources(), seed=5, device=device)
        torch.manual_seed(1)
        again = one(self.obfuscation, self.sources(), seed=5, device=device)
        other = one(self.obfuscation, self.sources(), seed=6, device=device)
        assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
        assert torch.equal(first.pictures, other.pictures) != self.random

    def test_sources_are_left_as_they_are(self) -> None:
        sources = self.sources()
        one(self.obfuscation, sources)
        assert torch.equal(sources, self.sources())

    def test_cost_is_linear_in_the_pixels_and_in_the_batch(self) -> None:
        """Sixteen times the pixels, in sides or in number: quadratic cost would be 256 times."""
        small = self.seconds(self.sources(4, 64, 64))
        assert self.seconds(self.sources(4, 256, 256)) < 64 * small
        assert self.seconds(self.sources(64, 64, 64)) < 64 * small

    def seconds(self, sources: Tensor) -> float:
        times = []
        for _ in range(4):
            start = process_time()
            one(self.obfuscation, sources)
            times.append(process_time() - start)
        return min(times)

    def test_a_region_confines_it(self) -> None:
        sources = self.sources()
        regions = torch.zeros(4, 48, 64, dtype=torch.bool)
        regions[:, 10:30, 20:40] = True
        whole = one(self.obfuscation, sources)
        labels = torch.arange(self.obfuscation.images).expand(4, -1) % CLASSES
        generator = torch.Generator().manual_seed(1)
        part = obfuscate(self.obfuscation, sources, labels, CLASSES, generator, regions=regions)
        most = part.weights.argmax(1)
        assert torch.equal(part.labels, whole.labels)
        for index in range(4):
            inside, shown = regions[index], sources[index, most[index]]
            assert torch.equal(part.pictures[index][:, inside], whole.pictures[index][:, inside])
            if self.obfuscation.info.label != "noisy":  # equal weights: any image may show
                assert torch.equal(part.pictures[index][:, ~inside], shown[:, ~inside])

    def test_sources_of_another_kind_are_refused(self) -> None:
        sources = self.sources()
        for wrong in (sources.float(), sources[:, :, :1], torch.cat([sources, sources], dim=1)):
            with pytest.raises(ValueError, match=f"{self.technique} takes .* uint8 images"):
                one(self.obfuscation, wrong)


def mixture(sources: Tensor, weights: Tensor) -> np.ndarray:
    return np.einsum("mk,mkchw->mchw", floats(weights), floats(sources))


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


class TestMixup(ObfuscationContract):
    technique = "mixup"

    def test_labels_are_mixed_as_images_are(self) -> None:
        batch = one(self.obfuscation, self.sources())
        assert torch.equal(batch.labels[:, :2], batch.weights)
        assert np.abs(floats(batch.pictures) - mixture(self.sources(), batch.weights)).max() <= 0.51

    def test_weights_follow_the_beta_distribution(self) -> None:
        drawn = beta_weights(4000, 2, torch.Generator().manual_seed(1))[:, 0].double().numpy()
        assert stats.kstest(drawn, stats.beta(0.4, 0.4).cdf).pvalue > 1e-4


class TestInstaHide(ObfuscationContract):
    technique = "instahide"

    def test_flips_the_sign_of_half_the_values(self) -> None:
        batch = one(self.obfuscation, self.sources())
        mixed = mixture(self.sources(), batch.weights)
        published = floats(batch.pictures)
        kept, flipped = np.abs(published - mixed) <= 0.51, np.abs(255 - published - mixed) <= 0.51
        assert (kept | flipped).all()
        assert kept[~(kept & flipped)].mean() == pytest.approx(0.5, abs=0.02)

    def test_no_weight_exceeds_the_cap(self) -> None:
        weights = capped_weights(5000, 4, torch.Generator().manual_seed(1))
        assert weights.max() <= 0.65 + 1e-6
        assert weights.min() >= 0
        torch.testing.assert_close(weights.sum(1), torch.ones(5000))


class TestPrivateMixing(ObfuscationContract):
    technique = "dp-mix"

    def test_noise_does_not_shrink_with_the_images(self) -> None:
        for images in (2, 16):
            grey = torch.full((2, images, 3, 64, 64), 120, dtype=torch.uint8)
            published = one(Obfuscation("dp-mix", weights=(1.0,) * images, strength=25), grey).pictures
            assert published.double().std().item() == pytest.approx(25, rel=0.03)

    def test_labels_are_noised_too(self) -> None:
        sources = noise(4000, 2, 3, 1, 1)
        labels = torch.tensor([0, 1]).expand(4000, 2)
        setting = Obfuscation("dp-mix", weights=(0.75, 0.25), strength=0.25 * 255)
        drawn = obfuscate(setting, sources, labels, 2, torch.Generator().manual_seed(1)).labels
        assert (drawn == 0).double().mean().item() == pytest.approx(stats.norm.cdf(0.5 / (0.25 * 2**0.5)), abs=0.02)

    @pytest.mark.parametrize(("sigma", "images", "epochs"), [(40, 128, 1), (100, 64, 3), (500, 128, 1)])
    def test_epsilon_is_where_the_divergence_of_the_gaussians_is_delta(
        self, sigma: float, images: int, epochs: int
    ) -> None:
        epsilon = mixing_epsilon(sigma, images, 28 * 28, epochs, 1e-5)
        apart = 255 / (images * sigma) * np.sqrt(epochs * (3 * 28 * 28 + 2))
        grid = np.linspace(-12, 12 + apart, 400_001)
        divergence = np.maximum(stats.norm.pdf(grid, apart) - np.exp(epsilon) * stats.norm.pdf(grid), 0)
        assert np.trapezoid(divergence, grid) == pytest.approx(1e-5, rel=1e-3)

    def test_epsilon_at_its_ends(self) -> None:
        assert mixing_epsilon(1e9, 128, 784, 1, 1e-5) == 0
        assert mixing_epsilon(1, 1, 256 * 256, 100, 1e-5) > 1e9
        with pytest.raises(ValueError, match="delta lies between 0 and 1"):
            mixing_epsilon(40, 128, 784, 1, 0)


def test_every_technique_has_its_contract() -> None:
    assert {contract.technique for contract in ObfuscationContract.__subclasses__()} == set(OBFUSCATIONS)


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="there is no obfuscation smear; choose from mix, "):
        Obfuscation("smear")
    with pytest.raises(ValueError, match="mix has no strength to set"):
        Obfuscation("mix", strength=3)
    for weights in ((), (0.0, 0.0), (1.5, -0.5)):
        with pytest.raises(ValueError, match="weights are positive"):
            Obfuscation("mix", weights=weights)


def test_ties_are_broken_at_random() -> None:
    batch = one(Obfuscation("mix", weights=(0.33, 0.33, 0.33)), noise(3000, 3, 3, 1, 1))
    assert stats.chisquare(np.bincount(batch.labels.numpy(), minlength=3)).pvalue > 1e-4
    assert dominant(torch.tensor([[0.5, 0.5, 0.0]] * 100), torch.Generator().manual_seed(1)).unique().tolist() == [0, 1]


def photographs() -> Tensor:
    """Groups of three portraits of unlike contrast."""
    drawn = pets.draw(np.arange(24) % 20, 64, torch.Generator().manual_seed(1))
    contrast = np.random.default_rng(1).uniform(0.3, 1, (24, 1, 1, 1))
    return (
        torch.from_numpy(np.rint(127 + contrast * (drawn - 127.0)).astype(np.uint8))
        .permute(0, 3, 1, 2)
        .unflatten(0, (8, 3))
    )


def least_distorted(sources: Tensor, weights: tuple[float, ...] | Literal["distorting"]) -> Tensor:
    """Return the dSSIM of the image that each mixture distorts least."""
    published = one(Obfuscation("mix", weights=weights), sources).pictures
    return torch.stack([dssim(image, published) for image in sources.unbind(1)], dim=1).min(dim=1).values


def test_distorting_weights_distort_the_better_kept_image_almost_as_much_as_can_be() -> None:
    pairs = photographs()[:, :2]
    by_search = torch.stack([least_distorted(pairs, (share, 1 - share)) for share in np.linspace(0.02, 0.98, 25)])
    chosen = least_distorted(pairs, "distorting").mean()
    assert chosen > 0.95 * by_search.max(dim=0).values.mean()
    assert chosen > 1.05 * least_distorted(pairs, (0.5, 0.5)).mean()


def test_distorting_weights_are_a_symmetric_function_of_the_images() -> None:
    sources = photographs()
    chosen = distorting_weights(sources)
    torch.testing.assert_close(chosen.sum(1), torch.ones(8))
    torch.testing.assert_close(chosen, distorting_weights(sources.flip(1)).flip(1))
    torch.testing.assert_close(chosen[:3], distorting_weights(sources[:3]))
    batch = one(Obfuscation("mix", weights="distorting"), sources[:, :2])
    assert torch.equal(batch.weights, distorting_weights(sources[:, :2]))
    assert torch.equal(batch.labels, batch.weights.argmax(dim=1))
    with pytest.raises(ValueError, match="at least 8 pixels a side"):
        distorting_weights(sources[:, :, :, :7])


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 3), st.booleans(), st.booleans(), st.integers()
)
def test_grouping(drawn: list[int], images: int, intra_class: bool, repeat: bool, seed: int) -> None:
    labels = torch.tensor(drawn)
    generator = torch.Generator().manual_seed(seed % 2**32)
    sizes = torch.bincount(labels)[labels.unique()] if intra_class else torch.tensor([len(labels)])
    if sizes.min() < images:
        with pytest.raises(ValueError, match=f"a mixture takes {images} different ones"):
            group(labels, images, generator, intra_class=intra_class, repeat=repeat)
        return
    groups = group(labels, images, generator, intra_class=intra_class, repeat=repeat)
    uses = torch.bincount(groups.flatten(), minlength=len(labels))
    if repeat:
        assert all(sorted(role) == list(range(len(labels))) for role in groups.T.tolist())
    else:
        assert uses.max() == 1
        assert (uses == 0).sum() == (sizes % images).sum()
    assert all(len(set(members)) == images for members in groups.tolist())
    if intra_class:
        assert (labels[groups] == labels[groups[:, :1]]).all()


def test_every_pair_is_equally_likely() -> None:
    generator = torch.Generator().manual_seed(1)
    for repeat in (False, True):
        firsts = torch.stack([group(torch.zeros(6), 2, generator, repeat=repeat)[0] for _ in range(3000)])
        table = np.zeros((6, 6))
        np.add.at(table, tuple(firsts.T.numpy()), 1)
        assert stats.chisquare(table[~np.eye(6, dtype=bool)]).pvalue > 1e-4


def test_blur_equals_an_independent_one_at_any_size() -> None:
    for height, width, size in ((5, 70, 3), (33, 20, 17), (64, 64, 45)):
        image = np.random.default_rng(size).uniform(0, 255, (2, height, width))
        expected = image
        for axis in (1, 2):
            kernel = gaussian_kernel(size).double().numpy()
            expected = ndimage.correlate1d(expected, kernel, axis=axis, mode="mirror")
        np.testing.assert_allclose(gaussian_blur(torch.from_numpy(image).float(), size).numpy(), expected, atol=1e-3)
