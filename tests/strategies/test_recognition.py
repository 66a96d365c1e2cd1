"""Thresholds against the definition of a ROC curve, point by point."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.scores.recognition import agreement, intervals


@st.composite
def answers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    count = draw(st.integers(2, 25))
    scores = draw(st.lists(st.integers(0, 8), min_size=count, max_size=count))
    recognised = [True, False, *draw(st.lists(st.booleans(), min_size=count - 2, max_size=count - 2))]
    return np.array(scores) / 8, np.array(recognised)


@given(answers())
def test_both_thresholds_are_the_best_there_are(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    scores, recognised = drawn
    found = agreement(scores, recognised)
    gaps, corners = [], []
    for value in np.unique(scores):
        private = scores >= value
        false, true = private[recognised].mean(), private[~recognised].mean()
        gaps.append(true - false)
        corners.append(false**2 + (1 - true) ** 2)
    for chosen in (found.t_acc, found.t_cut_off):
        private = scores >= chosen.value
        assert chosen.false_positives == pytest.approx(private[recognised].mean())
        assert chosen.true_positives == pytest.approx(private[~recognised].mean())
    assert found.t_acc.true_positives - found.t_acc.false_positives == pytest.approx(max(gaps))
    corner = found.t_cut_off.false_positives**2 + (1 - found.t_cut_off.true_positives) ** 2
    assert corner == pytest.approx(min(corners))
    pairs = scores[~recognised][:, None] - scores[recognised]
    assert found.auc == pytest.approx(((pairs > 0) + (pairs == 0) / 2).mean())
    assert found.curve[0].tolist() == [0, 0]
    assert found.curve[-1].tolist() == [1, 1]


def test_answers_that_give_no_curve_are_refused() -> None:
    scores = np.array([0.1, 0.2])
    with pytest.raises(ValueError, match="2 of 2 were recognised"):
        agreement(scores, np.array([True, True]))
    with pytest.raises(ValueError, match="0 of 2"):
        agreement(scores, np.array([False, False]))
    with pytest.raises(ValueError, match="one finite score"):
        agreement(np.array([0.1, np.nan]), np.array([True, False]))
    with pytest.raises(ValueError, match="2 scores for 1 answers"):
        agreement(scores, np.array([True]))


@given(answers(), st.integers(0, 100))
def test_weights_are_repetitions(drawn: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    scores, recognised = drawn
    times = np.random.default_rng(seed).integers(1, 4, len(scores))
    weighed = agreement(scores, recognised, times.astype(float))
    repeated = agreement(np.repeat(scores, times), np.repeat(recognised, times))
    assert weighed.auc == pytest.approx(repeated.auc)
    assert weighed.t_acc.true_positives - weighed.t_acc.false_positives == pytest.approx(
        repeated.t_acc.true_positives - repeated.t_acc.false_positives
    )


def test_intervals_cover_what_is_true_of_all_pictures() -> None:
    """Of scores whose AUC is known, 95 % intervals hold it in most of many surveys."""
    generator = np.random.default_rng(1)
    people, pictures = np.repeat(np.arange(8), 25), np.tile(np.arange(25), 8)
    held, widths = 0, []
    for _ in range(20):
        hidden = generator.random(25) < 0.5
        scores = generator.normal(1.0 * hidden)
        found = intervals(scores[pictures], ~hidden[pictures], people, pictures, generator, 60)
        held += found.auc[0] <= 0.760 <= found.auc[1]
        widths.append(found.auc[1] - found.auc[0])
    assert held >= 15
    assert 0.2 < np.mean(widths) < 0.6
