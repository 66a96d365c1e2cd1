import numpy as np
import pytest
import torch

from simulations.data import pets
from strategies.learning.classifier import classify, train_classifier


def portraits(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Siamese cats and Rottweilers, 32 pixels wide."""
    labels = np.arange(count) % 2
    return pets.draw(np.where(labels == 0, 0, 19), 32, torch.Generator().manual_seed(seed)), labels


def test_it_learns_to_tell_two_breeds_and_tells_how_far_it_is() -> None:
    told: list[int] = []
    network = train_classifier(
        *portraits(64, 1),
        2,
        torch.Generator().manual_seed(5),
        epochs=8,
        progress=lambda epoch, loss: told.append(epoch),
    )
    fresh, labels = portraits(200, 2)
    assert (classify(network, fresh) == labels).mean() > 0.9
    assert told == list(range(1, 9))
    assert not network.training


def test_the_generator_alone_decides_the_weights() -> None:
    torch.manual_seed(1)
    first, other = (
        train_classifier(*portraits(20, 1), 2, torch.Generator().manual_seed(seed), epochs=2) for seed in (5, 6)
    )
    torch.manual_seed(2)
    untouched = torch.get_rng_state()
    again = train_classifier(*portraits(20, 1), 2, torch.Generator().manual_seed(5), epochs=2)
    assert torch.equal(torch.get_rng_state(), untouched)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert not torch.equal(first.head.weight, other.head.weight)


def test_a_class_depends_on_the_picture_alone() -> None:
    network = train_classifier(*portraits(20, 1), 2, torch.Generator().manual_seed(5), epochs=2)
    pictures, _ = portraits(300, 3)
    assert classify(network, pictures)[290:].tolist() == classify(network, pictures[290:]).tolist()
    assert classify(network, pictures[:0]).tolist() == []


def test_bad_labels_are_refused() -> None:
    pictures, labels = portraits(4, 1)
    with pytest.raises(ValueError, match="numbered 0 to 1, not 0 to 2"):
        train_classifier(pictures, labels * 2, 2, torch.Generator())
    with pytest.raises(ValueError, match="1 pictures and 1 labels"):
        train_classifier(pictures[:1], labels[:1], 2, torch.Generator())
