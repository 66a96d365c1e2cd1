import numpy as np
import torch
from bars import seeded
from sklearn.metrics import roc_auc_score
from torch import Tensor

from strategies.learning.fit import Plan
from strategies.pric.attacks import nearest, passport, presence, suspicion
from strategies.pric.reading import train_reader


def snapshots(persons: np.ndarray, seed: int) -> Tensor:
    """Representations of people: what is theirs, the same in each, and noise."""
    faces = torch.rand(100, 4, 8, 8, generator=seeded())
    return faces[torch.from_numpy(persons)] + 0.5 * torch.rand(len(persons), 4, 8, 8, generator=seeded(seed))


def test_people_are_recognised_who_were_not_learned() -> None:
    learned, others = np.repeat(np.arange(50), 6), np.arange(50, 100)
    recogniser = passport(snapshots(learned, 2), learned, seeded(), Plan(8, 32, 5e-3))
    named = nearest(recogniser, snapshots(others, 3), others, snapshots(others, 4))
    assert (named == others).mean() > 0.5  # chance: .02
    strangers = torch.rand(50, 4, 8, 8, generator=seeded(5))
    assert (nearest(recogniser, snapshots(others, 3), others, strangers) == others).mean() < 0.12


def test_a_model_that_learned_by_heart_betrays_what_it_learned() -> None:
    known, unknown = torch.rand(60, 4, 8, 8, generator=seeded(1)), torch.rand(60, 4, 8, 8, generator=seeded(2))
    labels = (torch.rand(120, 1, generator=seeded(3)) < 0.5).long()
    model = train_reader(known, labels[:60], seeded(), Plan(30, 16, 5e-3))
    scores = np.concatenate([suspicion(model, known, labels[:60]), suspicion(model, unknown, labels[60:])])
    assert roc_auc_score(np.arange(120) < 60, scores) > 0.8


def test_what_was_collected_is_found_among_it() -> None:
    collected = torch.rand(20, 4, 8, 8, generator=seeded())
    scores = presence(collected, torch.cat([collected[:5], torch.rand(5, 4, 8, 8, generator=seeded(2))]))
    assert scores[:5].min() > scores[5:].max()
