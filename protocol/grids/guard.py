"""Lets apps of this process answer, so that none of them ends it or holds it up."""

import signal
import threading
import traceback
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, Self, TypeVar

T = TypeVar("T")

AGAIN = 0.1
"""Seconds until an app that caught its interruption is interrupted again."""
_STOPS = (signal.SIGINT, signal.SIGTERM)


class TimeIsUp(BaseException):
    """Interrupts an app; not an `Exception`, which apps catch."""


class HostFailed(BaseException):
    """The machine failed, not the app that it runs: no grid takes this for the app's answer."""


class AppLeft(Exception):
    """An app raised what ends a process, such as `SystemExit`; the text says what it should do instead."""


class Guard:
    """Calls apps, inside a ``with`` block.

    1. An app that takes longer than it may is interrupted. This works in the main thread alone, and not on Windows:
       elsewhere it is waited for.
    2. What an app raises to end the process (`SystemExit`, `KeyboardInterrupt`) is an error of the app, unless it comes
       from a signal to this process.
    """

    def __init__(self) -> None:
        self._stopped = False
        self._running = False
        self._before: dict[int, Any] = {}
        self._timed = False

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in _STOPS:
            if callable(handler := signal.getsignal(number)):
                self._before[number] = signal.signal(number, partial(self._stop, handler))
        if hasattr(signal, "SIGALRM"):
            self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._interrupt)
            self._timed = True
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before.clear()

    def call(self, app: Callable[[], T], seconds: float) -> T:
        """Call an app, for so many seconds at most.

        Raises:
            TimeIsUp: When it was interrupted.
            AppLeft: When it tried to end the process.
            HostFailed: When the app found that the machine cannot go on.
        """
        timed = self._timed and 0 < seconds <= threading.TIMEOUT_MAX
        try:
            self._running = True
            if timed:
                signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
            return app()
        except (Exception, TimeIsUp, HostFailed):
            raise
        except BaseException as error:
            if self._stopped:
                raise
            raised = traceback.format_exception_only(error)[-1].strip()
            raise AppLeft(f"the app raised {raised}; it has to return a Message") from error
        finally:
            self._running = False
            if timed:
                signal.setitimer(signal.ITIMER_REAL, 0)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._running:
            raise TimeIsUp

    def _stop(self, handler: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None) -> None:
        """Handle a signal as before, and remember that there was one."""
        self._stopped = True
        handler(number, frame)
