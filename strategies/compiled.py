"""Machine code by numba: compiled at a function's first call, and kept on the disk where there is a place for it."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from numba import njit
from numba.core.caching import FunctionCache, NullCache

F = TypeVar("F", bound=Callable[..., Any])


class FirstUseCache(NullCache):
    """A function's machine code on the disk, looked for when the function is first called.

    ``njit(cache=True)`` writes to the disk when a module is imported, and fails where it may not: in a container with a
    read-only root, as a user without a home. Here nothing is touched before the first call. Without a place, or when
    the disk is full, each process compiles for itself, which takes seconds.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._found: Any = None

    def _cache(self) -> Any:
        if self._found is None:
            try:
                self._found = FunctionCache(self._function)  # type: ignore[no-untyped-call]
            except RuntimeError:  # no folder for it can be written
                self._found = NullCache()
        return self._found

    @property
    def cache_path(self) -> Any:
        """The folder of the machine code, None if there is no place for it."""
        return self._cache().cache_path

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what is kept for a signature, None if nothing is."""
        with suppress(OSError):
            return self._cache().load_overload(sig, target_context)

    def save_overload(self, sig: Any, cres: Any) -> None:
        """Keep what was compiled for a signature, if the disk takes it."""
        with suppress(OSError):
            self._cache().save_overload(sig, cres)


def compiled(function: F) -> F:
    """Compile a function in numba's nopython mode when it is first called.

    Examples:
        >>> @compiled
        ... def twice(number):
        ...     return 2 * number
        >>> twice(21)
        42
    """
    dispatcher = njit(function)
    dispatcher._cache = FirstUseCache(function)  # numba's `enable_caching` sets the same attribute
    return dispatcher  # type: ignore[no-any-return]
