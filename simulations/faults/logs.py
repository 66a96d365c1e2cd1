"""What programs log while a town plays."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PROGRAMS = ("parties", "protocol", "deploy")


class _Reader(logging.Handler):
    def __init__(self, read: Callable[[str], None]) -> None:
        super().__init__()
        self._read = read

    def emit(self, record: logging.LogRecord) -> None:
        """Read a line, with its traceback if there is one."""
        self._read(self.format(record))


@contextmanager
def read_logs(read: Callable[[str], None]) -> Iterator[None]:
    """Let each line that programs log be read, and nowhere else appear, for a while."""
    reader = _Reader(read)
    loggers = [logging.getLogger(name) for name in PROGRAMS]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(reader)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(reader)
            logger.setLevel(level)
            logger.propagate = propagate
