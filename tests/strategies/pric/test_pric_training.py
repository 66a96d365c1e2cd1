"""The machinery at a tiny scale; that it protects is in test_protection."""

from dataclasses import replace

import pytest
import torch
from bars import TINY, aucs, marked, seeded
from torch import Tensor

from strategies.learning.batches import apply
from strategies.learning.weights import fingerprint
from strategies.pric.networks import EXTRACTORS, new_extractor
from strategies.pric.training import PUBLISHED, Progress, train_extractor


@pytest.fixture(scope="module")
def known() -> tuple[Tensor, Tensor]:
    return marked(640, 1)


def test_without_the_adversary_nothing_is_hidden(known: tuple[Tensor, Tensor]) -> None:
    undefended = train_extractor(known[0], known[1][:, :1], replace(TINY, ascent="none", epochs=2), seeded())
    assert min(aucs(undefended.extractor, known)) > 0.95


@pytest.mark.slow
def test_several_attributes_are_hidden_at_once_and_the_rest_is_kept(known: tuple[Tensor, Tensor]) -> None:
    trained = train_extractor(known[0], known[1][:, :2], TINY, seeded())
    one, two, kept = aucs(trained.extractor, known)
    assert max(one, two) < 0.8
    assert kept > 0.95


@pytest.mark.parametrize("ascent", ["entropy", "flipped", "uniform", "none"])
@pytest.mark.parametrize("bound", ["global", "local", "decoder"])
def test_every_form_trains_and_stays_finite(known: tuple[Tensor, Tensor], ascent: str, bound: str) -> None:
    steps: list[Progress] = []
    recipe = replace(PUBLISHED, ascent=ascent, bound=bound, epochs=1, conditional=False)
    trained = train_extractor(known[0][:64], known[1][:64], recipe, seeded(), progress=steps.append)
    assert [each.epoch for each in steps] == [1, 2]
    assert apply(known[0][:4], trained.extractor).isfinite().all()
    assert not trained.extractor.training
    assert not trained.adversary.training


def test_equal_seeds_train_equal_extractors(known: tuple[Tensor, Tensor]) -> None:
    def once(seed: int) -> str:
        recipe = replace(TINY, warm_up=1, epochs=1)
        return fingerprint(train_extractor(known[0][:64], known[1][:64, :1], recipe, seeded(seed)).extractor)

    torch.manual_seed(7)
    first = once(1)
    torch.manual_seed(8)
    assert once(1) == first != once(2)


@pytest.mark.parametrize("architecture", EXTRACTORS)
def test_representations_have_a_quarter_of_the_side_and_are_never_negative(architecture: str) -> None:
    extractor = new_extractor(architecture, seeded()).eval()
    told = extractor(torch.rand(2, 3, 32, 32, generator=seeded()))
    assert told.shape[2:] == (8, 8)
    assert told.min() >= 0


def test_bad_input_is_named(known: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"640 pictures and labels of shape \(640,\)"):
        train_extractor(known[0], known[1][:, 0], TINY, seeded())
    with pytest.raises(ValueError, match="no extractor 'deep'; these are: compact, vgg16"):
        new_extractor("deep", seeded())
