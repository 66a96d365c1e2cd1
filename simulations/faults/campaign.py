"""Many runs, on several processes, until enough faults have struck."""

import gc
import hashlib
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from multiprocessing import get_context

from parties.workflow import Progress, unwatched
from simulations.faults.run import TOWNS, Result, run

_COLLECTED = 50
"""Runs after which the garbage of this process is collected: the command line turns that off for short programs."""


@dataclass
class Campaign:
    """What came of many runs.

    Attributes:
        workflow: Of which.
        faults: How many took effect, by kind.
        outcomes: What became of what was begun.
        failed: Runs in which a promise was broken.
        digest: A hash of all that happened in all of them.
    """

    workflow: str
    runs: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    failed: list[Result] = field(default_factory=list)
    digest: str = ""

    @property
    def vacuous(self) -> str:
        """What makes all this show nothing, if anything does: where next to nothing is achieved, little can be lost."""
        aim = TOWNS[self.workflow].AIM
        reached = self.outcomes[aim]
        if reached >= self.runs / 2:
            return ""
        return f"{reached} {aim} in {self.runs} runs: that is too little to show anything"

    def add(self, result: Result) -> None:
        """Count a run."""
        self.runs += 1
        self.faults += result.kinds
        self.outcomes += result.outcomes
        self.digest = hashlib.sha256(f"{self.digest}{result.digest}".encode()).hexdigest()
        if result.violations:
            self.failed.append(result)


def campaign(
    workflow: str, seed: int, faults: int, workers: int, stop_at: int = 20, progress: Progress = unwatched
) -> Campaign:
    """Play runs until so many faults have struck, or so many runs have failed; interrupted, return what there is.

    The runs are the same for any number of workers, and count in their order.
    """
    found = Campaign(workflow)
    try:
        for result in _results(workflow, seed, workers):
            found.add(result)
            total = found.faults.total()
            if found.runs % _COLLECTED == 0:
                gc.collect()
            progress(f"{found.runs} runs, {len(found.failed)} failed", min(total, faults), faults)
            if total >= faults or len(found.failed) >= stop_at:
                break
    except KeyboardInterrupt:
        pass
    return found


def _results(workflow: str, seed: int, workers: int) -> Iterator[Result]:
    seeds = (f"{seed}/{number}" for number in count())
    if workers == 1:
        yield from (run(workflow, each) for each in seeds)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin) as pool:
        ahead = [pool.submit(run, workflow, next(seeds)) for _ in range(4 * workers)]
        try:
            while True:
                yield ahead.pop(0).result()
                ahead.append(pool.submit(run, workflow, next(seeds)))
        finally:
            pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """Leave interruptions to the process that gathers results, and look for garbage less often: it takes a tenth."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
