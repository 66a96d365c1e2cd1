"""Processes that begin with everything imported and compiled: forked from one that has played a purchase."""

import ctypes
import multiprocessing
import os
import sys
from collections.abc import Callable
from functools import cache
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

_CLONE_NEWNET = 0x40000000


def process(target: Callable[..., None], *arguments: Any, name: str | None = None) -> BaseProcess:
    """Return a process that is ready to start."""
    return _context().Process(target=target, args=arguments, name=name)


@cache
def _context() -> Any:
    """Start the process that others are forked from; it finds modules where this one does."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["warm"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()
    return context


class Parley:
    """A command that a user types, as a process of its own in a folder; its output is appended to a file.

    Args:
        words: The command, without ``parley``.
        folder, output: Where it runs, and where its output goes.
        space: The network namespace to run in.
    """

    def __init__(self, words: list[str], folder: Path, output: Path, space: str | None = None) -> None:
        self._process = process(_run, words, folder, output, space)
        self._process.start()

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Wait until it ends, and return its exit code."""
        self._process.join(timeout)
        code = self._process.exitcode
        assert code is not None, f"process {self._process.pid} has not ended after {timeout} s"
        return code

    def send_signal(self, number: int) -> None:
        if self._process.is_alive():
            os.kill(self._process.pid or 0, number)


def _run(words: list[str], folder: Path, output: Path, space: str | None) -> None:
    from simulations.cli import main  # noqa: PLC0415

    os.setsid()
    if space is not None:
        _enter(space)
    with output.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    sys.argv = ["parley", *words]
    main()


def _enter(space: str) -> None:
    """Enter a network namespace; a process that was just forked has one thread."""
    libc: Any = ctypes.CDLL(None, use_errno=True)
    with Path("/var/run/netns", space).open() as namespace:
        if libc.setns(namespace.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {space}")
