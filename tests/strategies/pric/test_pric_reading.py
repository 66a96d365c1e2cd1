import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from strategies.learning.fit import Plan
from strategies.pric.reading import (
    majority,
    read,
    read_both_ways,
    scored,
    task_induced,
    train_deep_reader,
    train_reader,
)  # fmt: skip


def test_a_reader_reads_what_is_there_and_nothing_else() -> None:
    generator = torch.Generator().manual_seed(1)
    labels = (torch.rand(400, 2, generator=generator) < 0.5).long()
    representations = torch.rand(400, 4, 8, 8, generator=generator)
    representations[:, 0] += labels[:, 0, None, None] * 0.5
    reader = train_reader(representations[:300], labels[:300], generator, Plan(5, 32, 5e-3))
    logits, truth = read(reader, representations[300:]), labels[300:].bool().numpy()
    there, absent = (scored(logits[:, column], truth[:, column], 0.5) for column in (0, 1))
    assert min(there.accuracy, there.balanced, there.auc) > 0.95
    assert max(absent.balanced, absent.auc) < 0.67  # four standard errors above a guess


def test_a_deep_reader_reads_as_well_and_longer_where_it_may() -> None:
    generator = torch.Generator().manual_seed(1)
    labels = (torch.rand(200, 1, generator=generator) < 0.5).long()
    representations = torch.rand(200, 4, 8, 8, generator=generator)
    representations[:, 0] += labels[:, 0, None, None] * 0.5
    truth = labels[150:, 0].bool().numpy()
    for budget in (1, 2):
        reader = train_deep_reader(representations[:150], labels[:150], generator, Plan(2, 32, 3e-3), budget=budget)
        logits = read_both_ways(reader, representations[150:])
        assert scored(logits[:, 0], truth, 0.5).auc > 0.95
        turned = read_both_ways(reader, representations[150:].flip(3))
        assert np.allclose(logits, turned, atol=1e-5)


@given(st.integers(0, 2**32), st.floats(0.1, 0.9))
def test_scores_agree_with_another_library(seed: int, frequency: float) -> None:
    generator = np.random.default_rng(seed)
    truth, logits = np.arange(50) % 3 == 0, generator.normal(size=50)
    found = scored(logits, truth, frequency)
    said = logits > np.log(frequency / (1 - frequency))
    assert found.accuracy == pytest.approx(accuracy_score(truth, logits > 0))
    assert found.balanced == pytest.approx(balanced_accuracy_score(truth, said))


def test_one_value_alone_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match="all 3 pictures have the same value"):
        scored(np.zeros(3), np.ones(3, dtype=bool), 0.5)


def test_the_majority_floor() -> None:
    assert majority(np.array([True, False, False, False])).accuracy == 0.75


def test_the_task_induced_floor_is_what_the_tables_of_labels_say() -> None:
    generator = np.random.default_rng(1)
    male = generator.random(4000) < 0.5
    makeup, smiling = ~male & (generator.random(4000) < 0.6), generator.random(4000) < 0.5
    tasks = np.stack([makeup, smiling], 1)
    found = task_induced(tasks[:2000], male[:2000], tasks[2000:], male[2000:])
    assert found.accuracy == pytest.approx(0.8, abs=0.03)  # made-up: a woman; otherwise a man, in 5 cases of 7
    unrelated = task_induced(tasks[:2000, 1:], male[:2000], tasks[2000:, 1:], male[2000:])
    assert unrelated.auc == pytest.approx(0.5, abs=0.05)


def test_too_many_tasks_are_refused() -> None:
    none = np.zeros((2, 17), dtype=bool)
    with pytest.raises(ValueError, match="at most 16 tasks"):
        task_induced(none, none[:, 0], none, none[:, 0])
