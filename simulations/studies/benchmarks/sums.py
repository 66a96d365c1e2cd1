"""The processor time of a secure sum, of all clients and the cloud together."""

from time import process_time

import numpy as np
from numpy.typing import NDArray

from parties.party import step
from parties.secure_sum.adding import AddingParty
from parties.secure_sum.statements import is_by
from parties.secure_sum.summand import LIMIT
from parties.secure_sum.summing import SecureSum
from protocol.exchange import Exchange
from protocol.flower import task_identity
from protocol.grids import LocalGrid
from protocol.messages.secure_sum import AddCall, MaskedValues, Round
from simulations.studies.benchmarks.measurement import Measurement
from strategies.privacy.secure_sum import quantise, restore

SIZE = 1000
"""Numbers in a summand."""


class Adder(AddingParty):
    """Adds numbers of its own; one in ten drops out when it should."""

    role = "client"

    def __init__(self, number: int) -> None:
        super().__init__(number.to_bytes(32))
        self.number = number
        self.numbers: NDArray[np.float64] = np.random.default_rng(number).normal(size=SIZE)

    @property
    def stays(self) -> bool:
        """Whether it does not drop out."""
        return self.number % 10 > 0

    @step("add")
    def add(self, call: AddCall) -> MaskedValues:
        """Add, or drop out."""
        if not self.stays:
            raise TimeoutError("no answer")
        return self.behind_masks(call, lambda: self.numbers)


def measure() -> list[Measurement]:
    """Add up 1,000 numbers of each of 1,000 clients, a tenth of whom drops out before it adds."""
    return _measured(1_000, 60.0)


def measure_long() -> list[Measurement]:
    """Do the same for 10,000 clients; it takes 4 GB of memory."""
    return _measured(10_000, 900.0)


def _measured(clients: int, seconds: float) -> list[Measurement]:
    parties = [Adder(number) for number in range(clients)]
    call = AddCall(round=Round(training="benchmark", number=1), model=np.zeros(1, np.float32))
    is_by.cache_clear()
    start = process_time()
    with LocalGrid([party.client_app() for party in parties]) as grid, task_identity(1):
        record = SecureSum(Exchange(grid), list(grid.get_node_ids()), call, size=SIZE).run()
    taken = process_time() - start
    values = [quantise(party.numbers, LIMIT) for party in parties if party.stays]
    exact = np.array_equal(record.total, restore(np.sum(values, axis=0, dtype=np.uint64)))
    assert record.graph is not None
    return [
        Measurement(f"a sum of {clients:,} clients, one in ten lost", taken, "s of one core", below=seconds),
        Measurement("it is exact", float(exact), "", above=1.0),
        Measurement("neighbours that each client draws", float(record.graph.neighbours), ""),
        Measurement("shares that restore a secret", float(record.graph.threshold), ""),
        Measurement("signatures that are looked at once for all, else by each", is_by.cache_info().hits, ""),
    ]
