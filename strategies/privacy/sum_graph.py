r"""Who holds whose shares in a secure sum: how many neighbours, and how many of them remove a mask.

Bell et al. 2020, "Secure Single-Server Aggregation with (Poly)Logarithmic Overhead", against a server that lies: each
of n clients draws k others at random, and they and itself hold shares of its secrets, of which t restore one. The
server plays together with a share of all clients. With c of them among the k of a client, and h = k + 1 holders:

- 2t > h + c: nobody gets two secrets of one client, as each honest holder shows a share of one of them alone
  (Bonawitz et al. 2017, theorem 6.5);
- a set of m honest clients whose sum could be read apart has, for each of them, t - 1 of its k neighbours inside or
  corrupt. A union bound over all sets says how small m can be.

Both fail with probability 2^-40 at most. That t holders are left for everybody, when a share of all drops out, fails
with 2^-30. A complete graph, where there is no chance, has t > 2n/3 against n/3 corrupt clients.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

SECURITY, CORRECTNESS = 40, 30
"""Failures have a probability of 2^-40 and 2^-30 at most."""
CORRUPT, DROPPING = 0.2, 0.1
"""Shares of clients that are corrupt, and drop out, where nobody says otherwise."""
FEWEST = 3
"""Clients of a sum, at least: one less, and each knows what the other adds."""
COMPLETE = 100
"""Below this number everybody is everybody's neighbour: it is cheap, and a third may be corrupt, or drop out."""


@dataclass(frozen=True)
class SumGraph:
    """The graph of a sum.

    Attributes:
        clients: n.
        neighbours: k, how many others each client draws.
        threshold: t, how many of k + 1 holders restore a secret.
    """

    clients: int
    neighbours: int
    threshold: int

    @property
    def complete(self) -> bool:
        """Whether everybody is everybody's neighbour."""
        return self.neighbours == self.clients - 1

    @property
    def least(self) -> int:
        """How many clients have to be in the sum: more than two thirds."""
        return 2 * self.clients // 3 + 1


def complete_graph(clients: int) -> SumGraph:
    """Return the graph in which everybody is everybody's neighbour."""
    return SumGraph(clients, clients - 1, 2 * clients // 3 + 1)


@functools.lru_cache
def choose_graph(clients: int, corrupt: float = CORRUPT, dropping: float = DROPPING) -> SumGraph:
    """Return the graph with the fewest neighbours that is safe, and in which enough holders are left.

    Args:
        clients: How many begin.
        corrupt: Share of them that the server plays together with, at most.
        dropping: Share of them that drops out, at most.

    Examples:
        >>> choose_graph(10)
        SumGraph(clients=10, neighbours=9, threshold=7)
        >>> choose_graph(1_000)
        SumGraph(clients=1000, neighbours=157, threshold=115)
    """
    if clients < COMPLETE or dropping >= 1 / 3:
        return complete_graph(clients)
    lost = math.ceil(dropping * clients)
    for neighbours in range(10, clients - 1):
        threshold = _threshold(clients, neighbours, corrupt)
        graph = SumGraph(clients, neighbours, threshold)
        too_few = _tail(clients - 1, lost, neighbours, neighbours + 2 - threshold)
        if too_few + math.log(clients) <= -CORRECTNESS * math.log(2) and refusal(graph, corrupt) is None:
            return graph
    return complete_graph(clients)


@functools.lru_cache
def refusal(graph: SumGraph, corrupt: float) -> str | None:
    """Return why a client must not take part in a sum with this graph; None where it is safe.

    Args:
        corrupt: Share of all clients that the server plays together with, at most.
    """
    holders = graph.neighbours + 1
    if not 0 < graph.neighbours < graph.clients:
        return f"{graph.neighbours} of {graph.clients} clients are no neighbours of one"
    if not 2 * holders < 3 * graph.threshold <= 3 * holders:
        return f"{graph.threshold} of {holders} holders could remove masks: it has to be more than two thirds"
    if graph.complete:
        return None
    if graph.clients < COMPLETE:
        return f"of fewer than {COMPLETE} clients everybody has to be everybody's neighbour"
    least = _threshold(graph.clients, graph.neighbours, corrupt)
    if graph.threshold < least:
        return f"{graph.threshold} of {holders} holders could remove masks: {least} keep corrupt ones from it"
    if smallest(graph, corrupt) < graph.clients / 3:
        return f"with {graph.neighbours} neighbours of {graph.clients} clients few summands could be read apart"
    return None


def smallest(graph: SumGraph, corrupt: float) -> int:
    """Return how many honest summands are in any sum that a lying server can read, but for 2^-40."""
    if graph.complete:
        return graph.threshold - math.floor(graph.clients / 3)
    bad = math.floor(corrupt * graph.clients)
    honest = graph.clients - bad
    sizes = np.arange(1, honest + 1)
    ways = _choices(honest, sizes)
    inside = _tails(graph.clients - 1, bad + sizes - 1, graph.neighbours, graph.threshold - 1)
    total = np.logaddexp.accumulate(ways + sizes * inside)
    possible = np.flatnonzero(total > -SECURITY * math.log(2))
    return int(sizes[possible[0]]) if len(possible) else honest


def _threshold(clients: int, neighbours: int, corrupt: float) -> int:
    """Return the least t for which 2t > h + c holds for every client, but for 2^-40."""
    holders = neighbours + 1
    bad = math.floor(corrupt * clients)
    found = np.arange(neighbours + 1)
    tails = np.logaddexp.accumulate(_chances(clients - 1, bad, neighbours, found)[::-1])[::-1]
    most = int((tails + math.log(clients) > -SECURITY * math.log(2)).sum()) - 1
    return max((holders + most) // 2 + 1, 2 * holders // 3 + 1)


def _tail(total: int, marked: int, drawn: int, least: int) -> float:
    return float(_tails(total, np.array([marked]), drawn, least)[0])


def _tails(total: int, marked: NDArray[np.int64], drawn: int, least: int) -> NDArray[np.float64]:
    """Return the logarithms of the probabilities that of `drawn` of `total` at least so many are marked."""
    found = np.arange(max(least, 0), drawn + 1)
    if not len(found):
        return np.full(len(marked), -np.inf)
    tails: NDArray[np.float64] = np.logaddexp.reduce(_chances(total, marked[:, None], drawn, found), axis=1)
    return np.minimum(tails, 0.0)


def _chances(total: int, marked: NDArray[np.int64] | int, drawn: int, found: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return logarithms of hypergeometric probabilities."""
    return _choices(marked, found) + _choices(total - marked, drawn - found) - _choices(total, drawn)


def _choices(total: NDArray[np.int64] | int, chosen: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """Return logarithms of binomial coefficients, -inf where there is no such choice."""
    total, chosen = np.broadcast_arrays(np.asarray(total), np.asarray(chosen))
    possible = (chosen >= 0) & (chosen <= total)
    some, all_ = np.where(possible, chosen, 0), np.maximum(total, 0)
    found: NDArray[np.float64] = gammaln(all_ + 1.0) - gammaln(some + 1.0) - gammaln(all_ - some + 1.0)
    return np.where(possible, found, -np.inf)
