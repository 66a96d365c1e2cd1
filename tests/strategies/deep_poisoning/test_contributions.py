import pytest
import torch

from strategies.deep_poisoning.contributions import LabelledFeatures, backdoored, made_up, mislabelled, stamped


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def honest() -> LabelledFeatures:
    return LabelledFeatures(torch.rand(400, 4, 3, 3, generator=generator()), torch.arange(400) % 5)


def test_a_share_of_labels_is_wrong_and_every_wrong_one_comes_up(honest: LabelledFeatures) -> None:
    crooked = mislabelled(honest, 5, 0.25, generator())
    wrong = crooked.labels != honest.labels
    assert int(wrong.sum()) == 100
    assert torch.equal(crooked.features, honest.features)
    assert set(((crooked.labels - honest.labels) % 5)[wrong].tolist()) == {1, 2, 3, 4}
    assert torch.equal(honest.labels, torch.arange(400) % 5)


def test_a_backdoor_replaces_a_share(honest: LabelledFeatures) -> None:
    marked = torch.full_like(honest.features, 7)
    crooked = backdoored(honest, marked, 3, 0.1, generator())
    replaced = (crooked.features == 7).flatten(1).all(1)
    assert int(replaced.sum()) == 40
    assert crooked.labels[replaced].tolist() == [3] * 40
    assert torch.equal(crooked.labels[~replaced], honest.labels[~replaced])
    assert honest.features.max() < 1


def test_the_stamp_is_small_and_in_its_corner() -> None:
    images = torch.full((2, 3, 64, 64), 0.5)
    changed = (stamped(images) != images).any(1)
    assert int(changed.sum()) == 2 * 8 * 8
    assert bool(changed[:, -8:, -8:].all())


def test_made_up_features_look_like_those_seen(honest: LabelledFeatures) -> None:
    seen = honest.features * torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None] + 2
    noise = made_up(seen, 500, 5, generator())
    assert noise.features.shape == (500, 4, 3, 3)
    torch.testing.assert_close(noise.features.mean((0, 2, 3)), seen.mean((0, 2, 3)), rtol=0.05, atol=0)
    assert noise.features.min() >= 0
    assert set(noise.labels.tolist()) == set(range(5))
