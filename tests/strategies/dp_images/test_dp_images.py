"""DP images keep exactly the promise they state: not less, which a test shows that notices half the noise, nor more."""

from abc import ABC, abstractmethod
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from strategies.dp_images import DPSVD, DPPix, Guarantee, Mechanism, Snow, mechanism
from strategies.dp_images.mechanisms import cell_means, metric_laplace
from strategies.privacy.auditing import audited_epsilon
from strategies.privacy.stream import Stream

TRIALS = 40_000
ERROR = 1e-6
"""Probability that an audit finds too much: one test in a million fails by chance."""


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def stream(seed: int) -> Stream:
    return Stream(seed.to_bytes(32))


class MechanismContract(ABC):
    """What holds for every mechanism."""

    mechanism: Mechanism

    @abstractmethod
    def neighbours(self) -> tuple[Tensor, Tensor]:
        """Return two neighbours (1, 1, height, width), as far apart as neighbours get."""

    @abstractmethod
    def with_half_the_noise(self) -> Mechanism:
        """Return the mechanism with half its noise."""

    @abstractmethod
    def event(self, published: Tensor) -> Tensor:
        """Say of each published picture whether the event happened that tells the first neighbour best."""

    def claimed(self) -> Guarantee:
        """What is promised of these neighbours."""
        return self.mechanism.guarantee()

    def lost(self, mechanism: Mechanism) -> float:
        """Return an epsilon that the mechanism exceeds on these neighbours."""
        hits = []
        for picture, seed in zip(self.neighbours(), (1, 2), strict=True):
            published = mechanism.publish(picture.repeat(TRIALS, 1, 1, 1), stream(seed))
            hits.append(int(self.event(published).sum()))
        return audited_epsilon(hits[0], TRIALS, hits[1], TRIALS, self.claimed().delta, ERROR)

    def test_no_event_tells_neighbours_apart_better_than_promised(self) -> None:
        assert self.lost(self.mechanism) <= self.claimed().epsilon

    def test_half_the_noise_is_noticed(self) -> None:
        assert self.lost(self.with_half_the_noise()) > self.claimed().epsilon

    def test_gives_pictures_of_the_same_shape_and_the_seed_alone_decides(self) -> None:
        pictures = noise(3, 3, 32, 48)
        published = self.mechanism.publish(pictures, stream(5))
        assert (published.shape, published.dtype) == (pictures.shape, torch.uint8)
        assert torch.equal(pictures, noise(3, 3, 32, 48))
        torch.manual_seed(9)
        assert torch.equal(published, self.mechanism.publish(pictures, stream(5)))
        assert not torch.equal(published, self.mechanism.publish(pictures, stream(6)))

    def test_pictures_of_a_batch_have_noise_of_their_own(self) -> None:
        twins = noise(1, 3, 32, 32).repeat(2, 1, 1, 1)
        first, second = self.mechanism.publish(twins, stream(5))
        assert not torch.equal(first, second)

    def test_promises_less_for_whole_pictures_and_for_many_of_them(self) -> None:
        once, whole = self.mechanism.guarantee(), self.mechanism.any_picture(32, 32)
        assert whole.epsilon + whole.delta > once.epsilon + once.delta
        assert once.repeated(3).epsilon + once.repeated(3).delta > once.epsilon + once.delta
        assert once.repeated(0).epsilon == once.repeated(0).delta == 0

    def test_other_than_pictures_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"pictures are \(n, channels, height, width\) uint8"):
            self.mechanism.publish(noise(1, 3, 32, 32).float(), stream(0))


class TestDPPix(MechanismContract):
    mechanism = DPPix(epsilon=0.7, cell=4, changed=16)

    def neighbours(self) -> tuple[Tensor, Tensor]:
        """All m pixels lie in one cell, and all change from black to white."""
        black = torch.zeros(1, 1, 4, 8, dtype=torch.uint8)
        white = black.clone()
        white[..., :4] = 255
        return white, black

    def with_half_the_noise(self) -> Mechanism:
        return DPPix(epsilon=1.4, cell=4, changed=16)

    def event(self, published: Tensor) -> Tensor:
        return published[:, 0, 0, 0] == 255

    def test_noise_is_laplace_of_the_papers_scale(self) -> None:
        cells = torch.full((500, 1, 32, 32), 128, dtype=torch.uint8)
        mechanism = DPPix(epsilon=8.0, cell=4, changed=2)
        drawn = mechanism.publish(cells, stream(3))[:, 0, ::4, ::4].flatten().numpy() - 128.0
        scale = 255 * 2 / (16 * 8.0)
        # Rounded to whole levels: compare with the distribution at the edges between them.
        for level in (-12, -4, 0, 3, 9):
            expected = stats.laplace(scale=scale).cdf(level + 0.5)
            assert (drawn <= level).mean() == pytest.approx(expected, abs=4.5 * np.sqrt(0.25 / drawn.size))

    def test_three_channels_take_three_times_the_noise(self) -> None:
        """Neighbours whose pixels change in all channels: the loss of the three together."""
        hits = []
        for level, seed in ((255, 1), (0, 2)):
            picture = torch.full((TRIALS, 3, 4, 4), level, dtype=torch.uint8)
            published = self.mechanism.publish(picture, stream(seed))
            hits.append(int((published[:, :, 0, 0] == 255).all(1).sum()))
        lost = audited_epsilon(hits[0], TRIALS, hits[1], TRIALS, 0, ERROR)
        assert 0.7 * self.mechanism.epsilon < lost <= self.mechanism.epsilon

    def test_shows_cells(self) -> None:
        picture = noise(1, 3, 32, 48)
        published = replace(self.mechanism, epsilon=1e9).publish(picture, stream(1))
        assert (published[..., ::4, ::4].double() - cell_means(picture, 4)).abs().max() <= 0.5
        assert torch.equal(cell_means(published, 4), published[..., ::4, ::4].double())

    def test_a_picture_smaller_than_the_grid_is_refused_in_one_sentence(self) -> None:
        with pytest.raises(ValueError, match="a picture of 6x3 is smaller than one cell of 4x4 pixels"):
            self.mechanism.publish(noise(1, 3, 3, 6), stream(0))
        with pytest.raises(ValueError, match="cells of 4 pixels do not tile pictures of 30x32"):
            self.mechanism.publish(noise(1, 3, 32, 30), stream(0))

    def test_all_pixels_cost_as_many_times_epsilon_as_they_are(self) -> None:
        assert self.mechanism.any_picture(32, 32).epsilon == pytest.approx(0.7 * 64)


class TestDPSVD(MechanismContract):
    mechanism = DPSVD(epsilon=0.05, values=1)

    def neighbours(self) -> tuple[Tensor, Tensor]:
        """Even grey: one singular value, 8 x the level, so these are 40 apart."""
        return (torch.full((1, 1, 8, 8), level, dtype=torch.uint8) for level in (130, 125))  # type: ignore[return-value]

    def claimed(self) -> Guarantee:
        per_unit = self.mechanism.guarantee()
        return replace(per_unit, epsilon=40 * per_unit.epsilon)

    def with_half_the_noise(self) -> Mechanism:
        return DPSVD(epsilon=0.1, values=1)

    def event(self, published: Tensor) -> Tensor:
        return published[:, 0, 0, 0] >= 130

    @pytest.mark.parametrize("values", [1, 2, 5])
    def test_noise_has_a_gamma_radius_and_no_direction(self, values: int) -> None:
        drawn = metric_laplace(torch.Size((20_000, values)), 0.3, stream(4)).numpy()
        assert stats.kstest(np.linalg.norm(drawn, axis=1), stats.gamma(values, scale=1 / 0.3).cdf).pvalue > 1e-4
        assert stats.kstest(drawn[:, 0], -drawn[:, 0]).pvalue > 1e-4
        if values > 1:
            # On a sphere the square of a coordinate is Beta(1/2, (k - 1) / 2) of the radius squared.
            share = drawn[:, 0] ** 2 / (drawn**2).sum(1)
            assert stats.kstest(share, stats.beta(0.5, (values - 1) / 2).cdf).pvalue > 1e-4

    def test_all_values_without_noise_are_the_picture(self) -> None:
        pictures = noise(2, 3, 16, 24)
        published = DPSVD(epsilon=1e9, values=16).publish(pictures, stream(1))
        assert torch.equal(published, pictures)

    def test_more_values_than_there_are_is_refused(self) -> None:
        with pytest.raises(ValueError, match="a picture of 16x8 has 8 singular values, not 9"):
            DPSVD(1.0, 9).publish(noise(1, 3, 8, 16), stream(0))


class TestSnow(MechanismContract):
    mechanism = Snow(delta=0.2)

    def neighbours(self) -> tuple[Tensor, Tensor]:
        grey = noise(1, 1, 4, 4)
        other = grey.clone()
        other[0, 0, 2, 1] = 255 - grey[0, 0, 2, 1]
        return grey, other

    def with_half_the_noise(self) -> Mechanism:
        return Snow(delta=0.6)

    def event(self, published: Tensor) -> Tensor:
        return published[:, 0, 2, 1] == self.neighbours()[0][0, 0, 2, 1]

    def test_keeps_whole_pixels_with_the_probability_delta(self) -> None:
        pictures = noise(8, 3, 64, 64) // 2  # no grey of 127 in all channels by chance, as good as never
        published = self.mechanism.publish(pictures, stream(1))
        kept = (published == pictures).all(1)
        assert ((published == 127).all(1) | kept).all()
        assert kept.double().mean() == pytest.approx(0.2, abs=4.5 * np.sqrt(0.16 / kept.numel()))

    def test_one_pixel_of_several_publications_is_kept_in_one_of_them(self) -> None:
        assert self.mechanism.guarantee().repeated(3).delta == pytest.approx(1 - 0.8**3)


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        (
            "dp-pyx",
            {},
            "there is no mechanism dp-pyx; choose from dp-pix, dp-svd, snow, plain, pixelize, p3",
        ),
        ("dp-pix", {"epsilon": 0.0}, r"epsilon is a positive number, not 0\.0"),
        ("dp-svd", {"epsilon": float("nan")}, "epsilon is a positive number, not nan"),
        ("dp-svd", {"epsilon": float("inf")}, "epsilon is a positive number, not inf"),
        ("dp-pix", {"epsilon": 1.0, "cell": 0}, "a cell is at least 1 pixel wide"),
        ("dp-svd", {"epsilon": 1.0, "values": 0}, "at least 1 singular value"),
        ("snow", {"delta": 1.5}, r"delta lies between 0 and 1, not at 1\.5"),
        ("snow", {"epsilon": 1.0}, "snow has no setting epsilon; its settings are delta"),
        ("dp-pix", {}, "dp-pix takes epsilon"),
    ],
)
def test_wrong_settings_are_one_sentence(name: str, settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        mechanism(name, **settings)


@given(st.sampled_from(["dp-pix", "dp-svd", "snow"]), st.integers(0, 50), st.integers(0, 50))
def test_publishing_more_often_never_promises_more(name: str, times: int, more: int) -> None:
    once = (Snow(0.3) if name == "snow" else mechanism(name, epsilon=0.3)).guarantee()
    few, many = once.repeated(times), once.repeated(times + more)
    assert few.epsilon <= many.epsilon
    assert few.delta <= many.delta <= 1


def test_a_negative_number_of_publications_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or more times, not -1"):
        Snow(0.1).guarantee().repeated(-1)
