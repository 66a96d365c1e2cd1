"""The memory of a process and its descendants."""

import threading
from pathlib import Path

SAMPLING_SECONDS = 2.0


class Memory(threading.Thread):
    """Samples the memory of this process and its descendants; shared pages count once."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._over = threading.Event()

    def run(self) -> None:
        """Sample until stopped."""
        while not self._over.wait(SAMPLING_SECONDS):
            self.peak = max(self.peak, sum(_memory(process) for process in _descendants()))

    def stop(self) -> int:
        """Stop sampling; return the peak, bytes."""
        self._over.set()
        self.join()
        return self.peak


def _descendants() -> list[Path]:
    """Return the folders in /proc of this process and its descendants."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
    found, grown = {int(Path("/proc/self").resolve().name)}, True
    while grown:
        more = {process for process, parent in parents.items() if parent in found} - found
        found, grown = found | more, bool(more)
    return [Path("/proc") / str(process) for process in found]


def _memory(process: Path) -> int:
    try:
        lines = (process / "smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0
