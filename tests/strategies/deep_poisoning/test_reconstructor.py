import pytest
import torch

from strategies.deep_poisoning.reconstructor import PUBLISHED, UNSEEN, Design, InverseBottleneck, new_reconstructor


@pytest.mark.parametrize("name", [PUBLISHED, *UNSEEN])
class TestEveryDesign:
    @pytest.mark.parametrize(("channels", "scale"), [(64, 4), (256, 16)])
    def test_it_returns_images(self, name: str, channels: int, scale: int) -> None:
        generator = torch.Generator().manual_seed(1)
        reconstructor = new_reconstructor(name, channels, scale, generator)
        images = reconstructor(torch.rand(2, channels, 4, 6, generator=generator))
        assert images.shape == (2, 3, 4 * scale, 6 * scale)
        assert images.min() >= 0
        assert images.max() <= 1
        assert images.std() > 0.01

    def test_blocks_before_each_upscaling(self, name: str) -> None:
        design = Design.parse(name)
        reconstructor = new_reconstructor(name, 64, 16, torch.Generator().manual_seed(1))
        upscalings = {2: 4, 4: 2}[design.factor]
        blocks = sum(isinstance(layer, InverseBottleneck) for layer in reconstructor.modules())
        assert blocks == upscalings * design.blocks


def test_the_papers_names() -> None:
    assert Design.parse("px2s2") == Design(False, 2, 2, False)
    assert Design.parse("rx4s4") == Design(True, 4, 4, False)
    with pytest.raises(ValueError, match="named like px2s2 or rx4s4-clamp, not 'qx2s2'"):
        Design.parse("qx2s2")


def test_a_scale_that_upscaling_misses_is_refused() -> None:
    with pytest.raises(ValueError, match="grow 8 times, which is no power of 4"):
        new_reconstructor("rx4s4", 64, 8, torch.Generator())
