"""Graphs of sums keep what they promise, by the exact tails of SciPy and by drawing some."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from strategies.privacy.sum_graph import SumGraph, choose_graph, complete_graph, refusal, smallest


@given(st.integers(3, 99))
def test_small_sums_have_complete_graphs_that_stand_a_third(clients: int) -> None:
    graph = choose_graph(clients)
    assert graph == complete_graph(clients)
    assert refusal(graph, 0.2) is None
    corrupt = clients // 3
    assert 2 * graph.threshold > clients + corrupt  # Bonawitz et al. 2017, theorem 6.5
    assert 3 * graph.threshold > 2 * clients
    assert smallest(graph, 0.2) >= graph.threshold - corrupt > 0


@pytest.mark.parametrize(("clients", "corrupt", "dropping"), [(150, 0.2, 0.1), (1000, 0.2, 0.1), (400, 1 / 3, 0.05)])
def test_probabilities_are_those_promised(clients: int, corrupt: float, dropping: float) -> None:
    graph = choose_graph(clients, corrupt, dropping)
    holders, bad = graph.neighbours + 1, math.floor(corrupt * clients)
    most = 2 * graph.threshold - holders - 1  # corrupt neighbours that are still harmless
    assert clients * stats.hypergeom.sf(most, clients - 1, bad, graph.neighbours) <= 2.0**-40
    left = stats.hypergeom.cdf(
        graph.threshold - 2, clients - 1, clients - 1 - math.ceil(dropping * clients), graph.neighbours
    )
    assert clients * left <= 2.0**-30
    assert clients / 3 <= smallest(graph, corrupt) < clients
    fewer = SumGraph(clients, graph.neighbours - 1, graph.threshold)
    assert refusal(fewer, corrupt) is not None or choose_graph(clients, corrupt, dropping).neighbours > fewer.neighbours


@given(st.integers(100, 400), st.sampled_from([0.1, 0.2, 1 / 3]))
@settings(max_examples=10, deadline=None)
def test_what_is_chosen_is_not_refused_and_a_lower_threshold_is(clients: int, corrupt: float) -> None:
    graph = choose_graph(clients, corrupt)
    assert refusal(graph, corrupt) is None
    lower = 2 * (graph.neighbours + 1) // 3
    assert refusal(SumGraph(clients, graph.neighbours, lower), corrupt) is not None


def test_more_neighbours_are_needed_for_more_corrupt_and_more_that_drop_out() -> None:
    assert (
        choose_graph(1000, 0.1).neighbours < choose_graph(1000, 0.2).neighbours < choose_graph(1000, 1 / 3).neighbours
    )
    assert choose_graph(1000, 0.2, 0.05).neighbours < choose_graph(1000, 0.2, 0.1).neighbours
    assert choose_graph(1000, 0.2, 0.45).complete  # nothing less is enough


def test_graphs_that_are_drawn_hold() -> None:
    """Of drawn graphs, in which one in five is corrupt and one in ten is gone, all keep both conditions."""
    graph = choose_graph(300)
    generator = np.random.default_rng(1)
    bad, gone = np.arange(300) < 60, np.arange(300) >= 270
    for _ in range(20):
        for me in range(60, 270):
            drawn = generator.permutation(np.delete(np.arange(300), me))[: graph.neighbours]
            assert 2 * graph.threshold > graph.neighbours + 1 + bad[drawn].sum()
            assert 1 + (~gone[drawn]).sum() >= graph.threshold
