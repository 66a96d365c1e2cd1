"""A world of bars, which an extractor learns in seconds."""

import torch
from torch import Tensor

from strategies.learning.batches import apply
from strategies.learning.fit import Plan
from strategies.pric.reading import read, scored, train_reader
from strategies.pric.training import Recipe

TINY = Recipe(weight=0.1, ascent="flipped", learning_rate=2e-3, adversary_learning_rate=5e-3, epochs=10, batch=32)


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def marked(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noise with a bar at the top (private), one at the left, or both; and which."""
    generator = seeded(seed)
    shown, has = (
        torch.rand(count, 3, 16, 16, generator=generator) * 0.5,
        torch.rand(count, 3, generator=generator) < 0.5,
    )
    shown[:, 0, :4] += has[:, 0, None, None] * 0.5
    shown[:, 1, :, :4] += has[:, 1, None, None] * 0.5
    shown[:, 2, 12:] += has[:, 2, None, None] * 0.5
    return shown, has.long()


def aucs(extractor: torch.nn.Module, known: tuple[Tensor, Tensor]) -> list[float]:
    """How well a fresh reader reads each bar from fresh pictures."""
    fresh, truth = marked(300, 2)
    reader = train_reader(apply(known[0], extractor), known[1], seeded(3), Plan(6, 32, 5e-3))
    logits = read(reader, apply(fresh, extractor))
    return [scored(logits[:, bar], truth[:, bar].bool().numpy(), 0.5).auc for bar in range(3)]
