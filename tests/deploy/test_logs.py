"""Logs are JSON lines."""

import json
import logging
from collections.abc import Iterator

import pytest

from deploy.party import log, log_to_stdout


@pytest.fixture(autouse=True)
def _root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level


def test_every_event_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stdout()
    log("a party attached", party="seller1", node=4)
    logging.getLogger("elsewhere").warning("two\nlines %d", 2)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("elsewhere").exception("it failed")
    first, second, third = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["event"], first["party"], first["node"]) == ("a party attached", "seller1", 4)
    assert (second["level"], second["source"], second["event"]) == ("warning", "elsewhere", "two\nlines 2")
    assert "ValueError: broken" in third["traceback"]
