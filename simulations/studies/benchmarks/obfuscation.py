"""The time to obfuscate a 256x256 image on one core, in batches."""

from time import process_time

import torch

from simulations.runs.seeding import stream
from simulations.studies.benchmarks.measurement import Measurement
from strategies.obfuscation import OBFUSCATIONS, Obfuscation, obfuscate

SIDE, BATCH, TURNS = 256, 8, 25
WIDEST_BLUR = 45


def measure() -> list[Measurement]:
    """Time every technique at its default setting, and the paper's widest blur.

    The result is the processor time of one thread, the least of many turns, to exclude other processes' effect on the
    cache.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        results = [_measured(Obfuscation(name), f"{name}: {info.description}") for name, info in OBFUSCATIONS.items()]
        widest = Obfuscation("blur-mix", strength=WIDEST_BLUR)
        distorting = Obfuscation("noise-mix", weights="distorting")
        return [
            *results,
            _measured(widest, f"blur-mix with a kernel of {WIDEST_BLUR}"),
            _measured(distorting, "noise-mix with the weights that distort most"),
        ]
    finally:
        torch.set_num_threads(threads)


def _measured(obfuscation: Obfuscation, what: str) -> Measurement:
    generator = torch.Generator().manual_seed(1)
    shape = (BATCH, obfuscation.images, 3, SIDE, SIDE)
    sources = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    labels = torch.randint(2, shape[:2], generator=generator)
    drawn, times = stream(1, "obfuscation"), []
    obfuscate(obfuscation, sources, labels, 2, drawn)
    for _ in range(TURNS):
        start = process_time()
        obfuscate(obfuscation, sources, labels, 2, drawn)
        times.append(process_time() - start)
    return Measurement(what, 1e3 * min(times) / BATCH, "ms", below=2.0)
