"""The memory of processes."""

import resource
import sys
import threading

import psutil

SAMPLING_SECONDS = 2.0


class Memory(threading.Thread):
    """Samples the memory of this process and its descendants; on Linux, shared pages count once."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._over = threading.Event()

    def run(self) -> None:
        """Sample until stopped."""
        here = psutil.Process()
        while not self._over.wait(SAMPLING_SECONDS):
            self.peak = max(self.peak, sum(map(_memory, [here, *here.children(recursive=True)])))

    def stop(self) -> int:
        """Stop sampling; return the peak, bytes."""
        self._over.set()
        self.join()
        return self.peak


def _memory(process: psutil.Process) -> int:
    try:
        used = process.memory_full_info()
    except psutil.Error:  # it has ended
        return 0
    return int(getattr(used, "pss", used.uss))


def peak_memory(whose: int = resource.RUSAGE_SELF) -> float:
    """Return the peak memory of this process, or of the largest of its children that have ended, MB."""
    peak = resource.getrusage(whose).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
