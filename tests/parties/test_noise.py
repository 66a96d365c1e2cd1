"""Noise that a client adds is of the whole question: no two answers share it, and no question has two answers."""

import numpy as np
import pytest
from test_federate import clients, start

from strategies.learning.weights import Weights, to_row

PRIVATE = {"learning-rate": 1.0, "sigma": 1.0, "sampling-rate": 1.0, "steps": 1.0, "clipping": 1.0}


def update(model: Weights, training: str = "test", **changes: float) -> np.ndarray:
    learnt = clients(1)[0].learn(model, PRIVATE | changes, training)
    return (to_row(learnt) - to_row(model)).double().numpy()


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def test_answers_at_two_noises_do_not_give_the_clean_one_away() -> None:
    """Shared noise would cancel: 2 u(sigma) - u(2 sigma) would be the clipped gradient."""
    clean = update(start(), sigma=1e-6)
    once, twice = update(start(), sigma=8.0), update(start(), sigma=16.0)
    assert cosine(2 * once - twice, clean) < 0.5
    assert abs(cosine(once - clean, twice - clean)) < 0.05


@pytest.mark.parametrize("changes", [{"training": "another"}, {"server-round": 7.0}])
def test_the_same_question_has_one_answer_under_any_name(changes: dict[str, object]) -> None:
    assert np.array_equal(update(start()), update(start(), **changes))  # type: ignore[arg-type]


def test_other_pictures_are_another_question() -> None:
    """Shared noise would cancel in the difference of two answers, and leave that of the pictures."""
    party = clients(1)[0]
    before = to_row(party.learn(start(), PRIVATE | {"sigma": 8.0}, "test"))
    party.pictures = np.array(party.pictures)
    party.pictures[0] = 255 - party.pictures[0]
    after = to_row(party.learn(start(), PRIVATE | {"sigma": 8.0}, "test"))
    assert float((after - before).norm()) > 0.5 * float((before - to_row(start())).norm())


def test_another_model_is_another_question() -> None:
    model = start()
    other = {name: value + 1e-7 for name, value in model.items()}
    clean, again = update(model, sigma=1e-6), update(other, sigma=1e-6)
    assert abs(cosine(update(model, sigma=8.0) - clean, update(other, sigma=8.0) - again)) < 0.05
