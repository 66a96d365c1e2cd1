"""Fewer faults and parties that break the same promise: delta debugging (Zeller and Hildebrandt, TSE 2002)."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress

from simulations.faults.run import TOWNS, Result, run
from simulations.faults.schedule import Fault
from simulations.faults.town import Violation

TRIES = 400
"""Runs that are played at most to shrink one."""


def shrink(failed: Result, tries: int = TRIES) -> Result:
    """Return a run that breaks one of the promises that a failed run broke, with as few parties and faults as found.

    It is a replay; it may be the same run, where nothing can be left out. Interrupted, it returns the best so far.
    """
    left = tries
    best = failed
    wanted = {_kind(violation) for violation in failed.violations[:1]}

    def attempt(faults: Sequence[Fault], without: Sequence[str]) -> bool:
        nonlocal best, left
        if left == 0:
            return False
        left -= 1
        played = run(failed.workflow, failed.replay.seed, faults, without)
        if not wanted & {_kind(violation) for violation in played.violations}:
            return False
        best = played
        return True

    with suppress(KeyboardInterrupt):
        if attempt(failed.replay.faults, failed.replay.without):
            _fewer_parties(lambda without: attempt(best.replay.faults, without), lambda: best)
            _fewer_faults(lambda faults: attempt(faults, best.replay.without), lambda: best)
            _fewer_parties(lambda without: attempt(best.replay.faults, without), lambda: best)
    return best


def _fewer_parties(attempt: Callable[[Sequence[str]], bool], best: Callable[[], Result]) -> None:
    least = TOWNS[best().workflow].LEAST
    for name in best().parties:
        role = name.partition("-")[0]
        if sum(each.partition("-")[0] == role for each in best().parties) > least.get(role, 0):
            attempt((*best().replay.without, name))


def _fewer_faults(attempt: Callable[[Sequence[Fault]], bool], best: Callable[[], Result]) -> None:
    """Leave out ever smaller parts of the list, and at last single ones until none can be."""
    if attempt(()):
        return
    size = len(best().replay.faults)
    while size:
        before, start = best(), 0
        while start < len(faults := best().replay.faults):
            if not attempt(faults[:start] + faults[start + size :]):
                start += size
        size = 1 if size == 1 and best() is not before else size // 2


def _kind(violation: Violation) -> tuple[str, str]:
    """Return a violation without its names and numbers."""
    return violation.promise, re.sub(r"[0-9a-f]{6,}|\d+", "#", violation.text)
