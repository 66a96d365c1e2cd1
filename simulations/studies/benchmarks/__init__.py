"""Benchmarks: each module measures one thing and compares it with its bar."""

from importlib import import_module

from simulations.studies.benchmarks.measurement import Measurement

BENCHMARKS = {
    "sealing": "seal and open 200 kB, compared with the bare primitives",
    "signatures": "MinHash signatures, one and a million",
    "selection": "mechanisms with all payments over a million bids",
    "grpc": "round trips, a thousand parties and a delivery of 2 GB between processes over mutual TLS",
    "flood": "what other parties notice while one floods the cloud, and the cloud's memory and vault meanwhile",
    "grid": "echo messages per second on Ray, compared with Flower's simulation engine",
    "obfuscation": "each technique on 256x256 images, on one core",
    "outsource": "streaming an epoch of 22,800 images at 256x256 from an owner to a training service",
    "sums": "a secure sum of 1,000 clients, one in ten of whom drops out, on one core",
    "purchase": "phones per second through a whole purchase on Ray, against the number of phones",
}
"""Benchmarks by the name of their module."""


LONG = ("grid", "purchase", "sums")
"""Benchmarks that have a longer form."""


def measure(name: str, long: bool = False) -> list[Measurement]:
    """Run one benchmark, or its longer form."""
    module = import_module(f"simulations.studies.benchmarks.{name}")
    results: list[Measurement] = module.measure_long() if long else module.measure()
    return results
