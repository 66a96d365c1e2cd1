"""DP-SGD clips and adds exactly the noise that is accounted for, by image or by person."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from strategies.learning.private import PrivateTraining, train_privately
from strategies.privacy.stream import Stream


class Linear(nn.Module):
    """Two logits from so many inputs."""

    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.head = nn.Linear(size, 2, bias=False, device="meta").to_empty(device="cpu")
        nn.init.zeros_(self.head.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(inputs)
        return logits


def one_step(inputs: Tensor, labels: Tensor, seed: int = 1, persons: Tensor | None = None, **changes: float) -> Tensor:
    """Return what one full-batch step adds to the weights, times units over learning rate: the noisy sum."""
    settings = {"sigma": 1e-9, "sampling_rate": 1.0, "steps": 1, "learning_rate": 1.0, **changes}
    network = train_privately(
        Linear(inputs.shape[1]), inputs, labels, PrivateTraining(**settings),  # type: ignore[arg-type]
        Stream(seed.to_bytes(32)), persons=persons,
    )  # fmt: skip
    units = len(labels) if persons is None else len(persons.unique())
    weight = next(network.parameters()).detach()
    return -weight * units


def test_each_gradient_is_clipped() -> None:
    """At zero weights the gradient of an image is (p - onehot) x input: of norm |x| / sqrt 2."""
    inputs = torch.tensor([[3.0, 0, 0, 0], [0, 0.1, 0, 0]])
    summed = one_step(inputs, torch.tensor([0, 0]), clipping=1.0)
    assert summed[0, 0].item() == pytest.approx(-(0.5**0.5), rel=1e-3)  # clipped to norm 1
    assert summed[0, 1].item() == pytest.approx(-0.05, rel=1e-3)  # left as it is


def test_a_persons_images_are_averaged_and_then_clipped() -> None:
    inputs = torch.tensor([[3.0, 0, 0, 0], [5.0, 0, 0, 0], [0, 4.0, 0, 0]])
    persons = torch.tensor([7, 7, 9])
    summed = one_step(inputs, torch.zeros(3, dtype=torch.long), persons=persons, per_person=5, clipping=1.0)
    assert summed[0, :2].tolist() == pytest.approx([-(0.5**0.5), -(0.5**0.5)], rel=1e-3)


def test_a_person_with_a_hundred_images_moves_no_more_than_one_with_one() -> None:
    few = one_step(torch.full((1, 4), 2.0), torch.tensor([0]), persons=torch.tensor([1]), per_person=3)
    many = one_step(torch.full((100, 4), 2.0), torch.zeros(100, dtype=torch.long),
                    persons=torch.ones(100, dtype=torch.long), per_person=3)  # fmt: skip
    torch.testing.assert_close(few, many)
    assert many.norm() <= 1 + 1e-3


def test_noise_has_the_standard_deviation_that_is_accounted_for() -> None:
    """5,000 weights: four standard errors are 4 %, and half the noise would be 50 % off."""
    summed = one_step(torch.zeros(10, 2500), torch.zeros(10, dtype=torch.long), sigma=3.0, clipping=0.5)
    assert summed.std().item() == pytest.approx(1.5, rel=0.04)
    other = one_step(torch.zeros(10, 2500), torch.zeros(10, dtype=torch.long), seed=2, sigma=3.0, clipping=0.5)
    assert abs(np.corrcoef(summed.flatten(), other.flatten())[0, 1]) < 0.06


def test_an_empty_batch_still_gets_noise() -> None:
    summed = one_step(torch.ones(3, 500), torch.zeros(3, dtype=torch.long), sigma=1.0, sampling_rate=1e-9)
    assert summed.std() > 0.5


def test_the_seed_decides_and_generators_of_others_are_left_alone() -> None:
    inputs, labels = torch.randn(20, 4, generator=torch.Generator().manual_seed(1)), torch.arange(20) % 2
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = one_step(inputs, labels, sigma=1.0, sampling_rate=0.5, steps=3)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, one_step(inputs, labels, sigma=1.0, sampling_rate=0.5, steps=3))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sigma": -1.0}, "sigma is 0 or more"),
        ({"sampling_rate": 0.0}, "sigma is 0 or more"),
        ({"clipping": 0.0}, "are positive"),
        ({"per_person": 0}, "are positive"),
        ({"per_person": 2}, "whose each image is"),
        ({"sigma": 1e6}, "too large for 8 parameters"),
    ],
)
def test_wrong_settings_are_one_sentence(changes: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        one_step(torch.ones(2, 4), torch.tensor([0, 1]), **changes)


def test_batch_normalisation_is_refused() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="cannot be trained privately"):
        train_privately(network, torch.ones(4, 4), torch.zeros(4, dtype=torch.long),
                        PrivateTraining(1.0, 0.5, 1), Stream(bytes(32)))  # fmt: skip
