import pytest
import torch
import torchvision.models as zoo

from strategies.deep_poisoning.split import ARCHITECTURES, Standardise, new_network, split
from strategies.features.vgg import DEVIATION, MEAN
from strategies.learning.initialise import built


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("make", "layer", "features"),
    [
        (zoo.resnet18, "conv4_1", (256, 14, 14)),
        (zoo.resnet50, "layer3.0", (1024, 14, 14)),
        (zoo.resnet101, "conv4_1", (1024, 14, 14)),
        (zoo.vgg16, "conv4_1", (512, 28, 28)),
        (zoo.vgg16_bn, "conv3_3", (256, 56, 56)),
    ],
)
def test_where_networks_are_split(make, layer: str, features: tuple[int, ...]) -> None:
    with torch.device("meta"):
        parts = split(make(num_classes=7), layer).eval()
    found = parts.featurizer(torch.empty(2, 3, 224, 224, device="meta"))
    assert found.shape == (2, *features)
    assert parts.decider(found).shape == (2, 7)


def test_the_parts_together_are_the_network() -> None:
    network = built(lambda: zoo.resnet18(num_classes=5), generator()).eval()
    images = torch.rand(2, 3, 64, 64, generator=generator())
    expected = network(Standardise(MEAN, DEVIATION)(images))
    torch.testing.assert_close(split(network, "conv4_1")(images), expected)


def test_features_survive_the_decider_of_a_vgg() -> None:
    parts = split(built(lambda: zoo.vgg11(num_classes=5, init_weights=False), generator()).eval(), "features.3")
    features = parts.featurizer(torch.rand(1, 3, 32, 32, generator=generator())).detach()
    before = features.clone()
    parts.decider(features)
    assert torch.equal(features, before)


def test_bad_splits_are_refused() -> None:
    with torch.device("meta"):
        network = zoo.resnet18(num_classes=5)
        for layer in ("layer3.2", "conv4_9", "fc", "nonsense"):
            with pytest.raises(ValueError, match=f"no layer '{layer}' to split after; these are: conv1, "):
                split(network, layer)
        with pytest.raises(TypeError, match="a Linear cannot be split"):
            split(torch.nn.Linear(1, 1), "conv4_1")
    with pytest.raises(ValueError, match="these are: compact, resnet18"):
        new_network("resnet", 5, generator())


def test_the_generator_alone_decides_the_weights() -> None:
    torch.manual_seed(1)
    untouched = torch.get_rng_state()
    first, again, other = (new_network("resnet18", 3, generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), untouched)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert not torch.equal(first.decider.fc.weight, other.decider.fc.weight)


def test_first_logits_are_neither_nothing_nor_enormous() -> None:
    images = torch.rand(4, 3, 64, 64, generator=generator())
    for name in set(ARCHITECTURES) - {"resnet101", "vgg16"}:
        spread = new_network(name, 5, generator())(images).std().item()
        assert 0.01 < spread < 20, (name, spread)
