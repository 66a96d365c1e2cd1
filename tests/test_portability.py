"""What a run needs is there on macOS and Windows too; only daemons and benchmarks may lean on Unix."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UNIX_MODULES = {
    "crypt",
    "curses",
    "fcntl",
    "grp",
    "nis",
    "posix",
    "pty",
    "pwd",
    "resource",
    "spwd",
    "syslog",
    "termios",
    "tty",
}
LINUX_OS = {
    "eventfd", "getrandom", "memfd_create", "pidfd_open", "posix_fadvise", "posix_fallocate", "sched_getaffinity",
    "sched_setaffinity", "sendfile", "splice", "unshare", "setns", "process_cpu_count",
}  # fmt: skip
UNIX_OS = LINUX_OS | {
    "chown", "chroot", "ctermid", "fork", "forkpty", "fchmod", "fchown", "getegid", "geteuid", "getgid", "getgroups",
    "getloadavg", "getpgid", "getpgrp", "getpriority", "getuid", "killpg", "lchown", "mkfifo", "mknod", "nice",
    "openpty", "pathconf", "posix_spawn", "pread", "pwrite", "setegid", "seteuid", "setgid", "setpgid", "setpriority",
    "setsid", "setuid", "statvfs", "sync", "sysconf", "uname", "wait3", "wait4", "WNOHANG", "O_CLOEXEC", "O_DIRECTORY",
    "O_NOFOLLOW", "O_NONBLOCK", "O_SYNC",
}  # fmt: skip
UNIX_SIGNALS = {
    "SIGKILL",
    "SIGHUP",
    "SIGUSR1",
    "SIGUSR2",
    "SIGALRM",
    "SIGCHLD",
    "SIGPIPE",
    "alarm",
    "setitimer",
    "pause",
}
UNIX = ("deploy/", "simulations/studies/benchmarks/")
"""Daemons run on Linux and macOS; so do benchmarks."""


def sources() -> Iterator[Path]:
    for package in ("strategies", "protocol", "parties", "deploy", "simulations"):
        yield from sorted((ROOT / package).rglob("*.py"))


def used(path: Path) -> Iterator[str]:
    """Modules that are imported, and attributes of os and signal, but those that `hasattr` asks for first."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    asked = {
        node.args[1].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "hasattr"
        and isinstance(node.args[1], ast.Constant)
    }  # fmt: skip
    if "SIGALRM" in asked:  # a system has all of these or none
        asked |= {"alarm", "setitimer", "ITIMER_REAL"}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                yield from (name.name.partition(".")[0] for name in names)
            case ast.ImportFrom(str(module), names):
                yield module.partition(".")[0]
                yield from (f"{module}.{name.name}" for name in names)
            case ast.Attribute(ast.Name("os" | "signal" as module), name) if name not in asked:
                yield f"{module}.{name}"


def not_on(path: Path, modules: set[str], functions: set[str], signals: set[str]) -> list[str]:
    missing = modules | {f"os.{name}" for name in functions} | {f"signal.{name}" for name in signals}
    return [f"{path.relative_to(ROOT)}: {name}" for name in used(path) if name in missing]


def test_nothing_is_only_on_linux() -> None:
    assert [found for path in sources() for found in not_on(path, set(), LINUX_OS, set())] == []


def test_no_run_needs_unix() -> None:
    runs = [path for path in sources() if not path.relative_to(ROOT).as_posix().startswith(UNIX)]
    assert [found for path in runs for found in not_on(path, UNIX_MODULES, UNIX_OS, UNIX_SIGNALS)] == []


def test_what_is_looked_for_is_found(tmp_path: Path) -> None:
    path = tmp_path / "source.py"
    path.write_text("import os, fcntl\nfrom os import fork\nos.sync()\nhasattr(os, 'O_SYNC') and os.O_SYNC\n")
    assert set(used(path)) >= {"fcntl", "os.fork", "os.sync"}
    assert "os.O_SYNC" not in set(used(path))


@pytest.mark.parametrize(
    "grid", ["local", pytest.param("grpc", marks=pytest.mark.slow), pytest.param("ray", marks=pytest.mark.slow)]
)
def test_a_purchase_runs_without_what_linux_alone_has(tmp_path: Path, grid: str) -> None:
    """As on macOS, as far as that can be had here: without the functions of `os` that it lacks."""
    (tmp_path / "sitecustomize.py").write_text(f"import os\nfor name in {LINUX_OS}:\n    vars(os).pop(name, None)\n")
    words = ["run", "purchase", "--grid", grid, "--set", "sellers.count=3", "--set", "sellers.album.images=2"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-m", "parley", *words, "--out", str(tmp_path / "run")],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").is_file()
