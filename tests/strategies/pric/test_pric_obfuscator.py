"""DeepObfuscator with PRIC's networks: what its authors built before PRIC, for known tasks."""

import pytest
import torch
from bars import aucs, marked, seeded
from torch import Tensor

from strategies.deep_poisoning.obfuscator import DeepObfuscator, Hidden, train_obfuscator
from strategies.deep_poisoning.split import SplitNetwork
from strategies.deep_poisoning.training import train_decider, train_network, train_reconstructor
from strategies.learning.batches import apply
from strategies.learning.fit import Plan
from strategies.learning.weights import fingerprint
from strategies.pric.networks import new_classifier, new_extractor
from strategies.scores.image_quality import disclosure


def obfuscator(pictures: Tensor, has: Tensor, warm_up: int, epochs: int) -> DeepObfuscator:
    """Hide the first bar and the picture, and keep the second bar."""
    private, task, plan, generator = has[:, :1], has[:, 1:2], Plan(warm_up, 32), seeded()
    network = SplitNetwork(new_extractor("compact", generator), torch.nn.Sequential(new_classifier(32, 1, generator)))
    features = apply(pictures, train_network(network, pictures, task, generator, plan).featurizer)
    hidden = Hidden(private, train_decider(new_classifier(32, 1, generator), features, private, generator, plan), 5e-3)
    reconstructor = train_reconstructor(features, pictures, generator, plan)
    return train_obfuscator(
        network, reconstructor, pictures, task, generator, Plan(epochs, 32, 1e-3), weight=0.3, hidden=hidden
    )


@pytest.mark.slow
def test_it_hides_the_private_bar_and_the_picture_and_serves_the_known_task() -> None:
    known = marked(640, 1)
    done = obfuscator(*known, warm_up=2, epochs=10)
    private, served, _ = aucs(done.network.featurizer, known)
    assert private < 0.75
    assert served > 0.95
    painted = apply(apply(known[0][:50], done.network.featurizer), done.reconstructor)
    assert disclosure(painted, known[0][:50]).ssim < 0.2


def test_equal_seeds_train_equal_networks() -> None:
    one, two = (obfuscator(*marked(64, 1), warm_up=1, epochs=1) for _ in range(2))
    for network, other in ((one.network, two.network), (one.reconstructor, two.reconstructor)):
        assert fingerprint(network) == fingerprint(other)
        assert not network.training


def test_labels_that_do_not_fit_are_named() -> None:
    (shown, has), network = marked(8, 1), obfuscator(*marked(8, 2), warm_up=1, epochs=1)
    hidden = Hidden(has[:4], new_classifier(32, 3, seeded()), 5e-3)
    with pytest.raises(ValueError, match="8 images with 8 and 4 labels"):
        train_obfuscator(network.network, network.reconstructor, shown, has, seeded(), Plan(1), hidden=hidden)
