"""The time to sign features at privacy level 2, with the paper's d = 300 and k = 4."""

import numpy as np

from simulations.studies.benchmarks.measurement import Measurement, median_seconds
from strategies.features.localisation import localise
from strategies.features.signatures import LATTICE, signature_table

REACH, SIZE = 300, 4
MANY = 1_000_000
ATTACKED = 10_000


def measure() -> list[Measurement]:
    """Time a table, one signature and a million signatures, and the attack on them; medians, in one thread."""
    features = np.random.default_rng(1).integers(0, LATTICE, (MANY, 2))
    table = signature_table(b"benchmark", REACH, SIZE)
    signatures = table.sign(features[:ATTACKED])
    localise(signatures[:1], b"benchmark", REACH)

    # A fresh salt each time, as tables are cached.
    build = median_seconds(7, lambda turn: signature_table(b"benchmark %d" % turn, REACH, SIZE))
    one = median_seconds(1000, lambda turn: table.sign(features[turn : turn + 1]))
    many = median_seconds(3, lambda _: table.sign(features))
    attack = median_seconds(3, lambda _: localise(signatures, b"benchmark", REACH))
    return [
        Measurement("table of a request's smallest points", 1e3 * build, "ms", below=100.0),
        Measurement("one signature, table built", 1e3 * one, "ms", below=0.1),
        Measurement("1,000,000 signatures, table built", many, "s", below=2.0),
        Measurement("localising one feature from its signature", 1e3 * attack / ATTACKED, "ms"),
    ]
