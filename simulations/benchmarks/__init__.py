"""Benchmarks: each module measures one thing beside its bar, in one run."""

from importlib import import_module

from simulations.benchmarks.measurement import Measurement

BENCHMARKS = {
    "grpc": "round trips, a thousand parties and a delivery of 2 GB between processes over mutual TLS",
    "sealing": "seal and open 200 kB beside the bare primitives",
    "signatures": "MinHash signatures, one and a million",
    "selection": "mechanisms with all payments over a million bids",
}
"""Benchmarks by name; each is the module of that name."""


def measure(name: str) -> list[Measurement]:
    """Run one benchmark."""
    results: list[Measurement] = import_module(f"simulations.benchmarks.{name}").measure()
    return results
