"""Threads that take turns."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MOST = 16
"""Threads, and so jobs that may wait for something while another works."""
PATIENCE = 1.0
"""Seconds in which a job has to compute, or the next begins beside it."""
_BUSY = 0.05


class Turns(ThreadPoolExecutor):
    """Works at one job at a time, as many parties of one process are faster so; who only waits holds up nobody.

    A job waits when its thread has hardly computed for `PATIENCE`. Where threads have no clock of their own, as on
    macOS, it is waited for.
    """

    def __init__(self) -> None:
        super().__init__(MOST)
        self._turn = threading.Semaphore()
        self._lock = threading.Lock()
        self._seen: dict[int, tuple[float, float]] = {}

    def submit(self, job: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do a job when it is its turn."""
        return super().submit(self._take_turn, job, *args, **kwargs)

    def let_on(self) -> None:
        """Let the next job begin where the present one waits; to be called now and then."""
        if not hasattr(time, "pthread_getcpuclockid"):
            return
        with self._lock:
            for thread, (when, computed) in list(self._seen.items()):
                now, computes = time.monotonic(), time.clock_gettime(time.pthread_getcpuclockid(thread))
                if now - when < PATIENCE:
                    continue
                self._seen[thread] = now, computes
                if computes - computed < _BUSY:
                    del self._seen[thread]
                    self._turn.release()

    def _take_turn(self, job: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self._turn.acquire()
        thread = threading.get_ident()
        with self._lock:
            self._seen[thread] = time.monotonic(), time.thread_time()
        try:
            return job(*args, **kwargs)
        finally:
            with self._lock:
                if self._seen.pop(thread, None) is not None:
                    self._turn.release()
