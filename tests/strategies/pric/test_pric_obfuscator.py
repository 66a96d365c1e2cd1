from dataclasses import replace

import pytest
from bars import TINY, aucs, marked, seeded

from strategies.learning.batches import apply
from strategies.learning.weights import fingerprint
from strategies.pric.obfuscator import train_obfuscator
from strategies.scores.image_quality import disclosure


@pytest.mark.slow
def test_it_hides_the_private_bar_and_the_picture_and_serves_the_known_task() -> None:
    known = marked(640, 1)
    recipe = replace(TINY, weight=0.3, rate=1e-3)
    done = train_obfuscator(known[0], known[1][:, :1], known[1][:, 1:2], recipe, seeded(), disclosure=0.3)
    private, served, _ = aucs(done.extractor, known)
    assert private < 0.75
    assert served > 0.95
    painted = apply(apply(known[0][:50], done.extractor), done.reconstructor)
    assert disclosure(painted, known[0][:50]).ssim < 0.2


def test_equal_seeds_train_equal_networks() -> None:
    shown, has = marked(64, 1)
    recipe = replace(TINY, warm_up=1, epochs=1)
    one, two = (train_obfuscator(shown, has[:, :1], has[:, 1:], recipe, seeded()) for _ in range(2))
    for network, other in zip(one.networks(), two.networks(), strict=True):
        assert fingerprint(network) == fingerprint(other)
        assert not network.training


def test_labels_that_do_not_fit_are_named() -> None:
    shown, has = marked(8, 1)
    with pytest.raises(ValueError, match="8 pictures with 8 and 4 rows of labels"):
        train_obfuscator(shown, has, has[:4], TINY, seeded())
