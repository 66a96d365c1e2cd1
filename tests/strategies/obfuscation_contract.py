"""What holds for every obfuscation, and what its tests share."""

from abc import ABC
from time import process_time

import numpy as np
import pytest
import torch
from torch import Tensor

from strategies.obfuscation import Obfuscated, Obfuscation, obfuscate
from strategies.privacy.stream import Stream

CLASSES = 5
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def one(obfuscation: Obfuscation, sources: Tensor, seed: int = 1, device: str = "cpu") -> Obfuscated:
    """Obfuscate sources whose images show classes 0, 1, 2, ..."""
    labels = torch.arange(sources.shape[1]).expand(len(sources), -1) % CLASSES
    return obfuscate(obfuscation, sources.to(device), labels.to(device), CLASSES, Stream(seed.to_bytes(32)))


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
        part = obfuscate(self.obfuscation, sources, labels, CLASSES, Stream((1).to_bytes(32)), regions=regions)
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
