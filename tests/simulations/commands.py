"""Commands that tests type, and terminals to type them in."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

FEW = ("--set", "sellers.count=8", "--set", "buyer.samples.count=4", "--set", "sellers.album.images=3")


def on_terminal(*words: str, columns: int, cwd: Path) -> str:
    """What a command prints where both stdout and stderr are a terminal of some width."""
    here, there = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    program = Path(sys.executable).with_name("parley")
    with subprocess.Popen([program, *words], stdout=there, stderr=there, cwd=cwd, env=environment) as process:
        os.close(there)
        said = b""
        while chunk := read(here):
            said += chunk
    os.close(here)
    assert process.returncode == 0
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode()).replace("\r\n", "\n")


def read(terminal: int) -> bytes:
    """What comes next; nothing in the end, which Linux calls an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""
