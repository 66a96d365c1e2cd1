"""A real browser for tests: headless Chromium, spoken to over a pipe in the DevTools protocol."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 60.0
KEYS = {"Tab": ("Tab", 9, ""), "Enter": ("Enter", 13, "\r"), "Space": ("Space", 32, " ")}


# The browser reads commands from descriptor 3 and answers on descriptor 4.
_ON_PIPES = """
import os, sys
here, there = (os.dup(int(number)) for number in sys.argv[1:3])
os.dup2(here, 3)
os.dup2(there, 4)
os.set_inheritable(3, True)
os.set_inheritable(4, True)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Tab:
    """One page of a browser."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive = send, receive
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            piece = os.read(self._receive, 1 << 20)
            assert piece, "the browser is gone"
            self._buffer += piece
        whole, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(whole)
        return message

    def open(self, page: Path, width: int, height: int, *, mobile: bool = False) -> None:
        """Open a file on a screen of this size, and wait until it is there."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )
        self.command("Page.navigate", url=page.resolve().as_uri())
        self.wait(lambda: bool(self.value("document.readyState === 'complete' && location.protocol === 'file:'")))

    def value(self, expression: str) -> Any:
        """Return what a JavaScript expression gives."""
        answer = self.command("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def promised(self, expression: str) -> Any:
        """Return what the promise of a JavaScript expression gives."""
        answer = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        name, code, text = KEYS[key]
        shared = {"key": text.strip() or name, "code": name, "windowsVirtualKeyCode": code}
        if key == "Space":
            shared["key"] = " "
        self.command("Input.dispatchKeyEvent", type="keyDown", text=text, **shared)
        self.command("Input.dispatchKeyEvent", type="keyUp", **shared)

    def tab_to(self, expression: str, most: int = 40) -> None:
        """Press Tab until an expression about the focused element, ``e``, is true."""
        for _ in range(most):
            if self.value(f"(e => {expression})(document.activeElement)"):
                return
            self.press("Tab")
        raise AssertionError(f"Tab does not reach: {expression}")

    def wait(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < deadline, "the browser took too long"
            time.sleep(0.05)


@contextmanager
def chromium(folder: Path) -> Iterator[Tab]:
    """Start a browser with a profile of its own, or skip the test where there is none."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium here to open pages in")
    theirs, send = os.pipe()
    receive, back = os.pipe()
    switches = (
        "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking disable-sync"
        " disable-component-update remote-debugging-pipe"
    )
    options = [f"--{switch}" for switch in switches.split(" ")]
    command = [program, *options, f"--user-data-dir={folder / 'profile'}"]
    browser = subprocess.Popen(
        [sys.executable, "-c", _ON_PIPES, str(theirs), str(back), *command],
        pass_fds=(theirs, back),
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    os.close(back)
    try:
        yield Tab(send, receive)
    finally:
        browser.terminate()
        browser.wait(20)
        os.close(send)
        os.close(receive)
