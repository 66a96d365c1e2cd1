"""Containers by Linux namespaces: a root of their own that is read-only, a user that is nobody, volumes, one network.

They are what a container runtime makes of deploy/compose.yaml and deploy/kubernetes, with this machine's Python in the
place of the image.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0
"""Seconds that a container may take to start, or to end."""
IMAGE = dict(
    re.findall(r"(\w+)=(\S+)", next(re.finditer(r"^ENV (.*)$", (ROOT / "deploy/Dockerfile").read_text(), re.M))[1])
)
"""What the image sets in the environment; its commands lie elsewhere here."""
IMAGE["PATH"] = f"{Path(sys.executable).parent}:/usr/bin:/bin"
MACHINE = [Path(name) for name in ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/dev", "/proc")]


@dataclass(frozen=True)
class Volume:
    """A folder of this machine in a container; none is an empty one in memory."""

    path: str
    source: Path | None = None
    writable: bool = True


@dataclass(frozen=True)
class Container:
    """How a process is to be started, as a manifest says it."""

    command: Sequence[str]
    user: int
    volumes: Sequence[Volume]
    environment: Mapping[str, str] = field(default_factory=lambda: IMAGE)

    def script(self, hosts: Path) -> str:
        """Build the root in memory, make it read-only, move there, become the user, and start."""
        lines = ["set -e", "root=$(mktemp -d)", "mount -t tmpfs -o mode=755 root $root", "cd $root"]
        lines += ["mkdir old home", "mkdir -m 0 home/parley"]  # the image's home, which is another user's
        for volume in sorted(self.volumes, key=lambda volume: volume.path):
            here = f".{volume.path}"
            lines.append(f"mkdir -p {here}")
            lines.append(
                f"mount -t tmpfs -o mode=1777 volume {here}" if volume.source is None
                else f"mount --bind {volume.source} {here}"
            )  # fmt: skip
            lines += [] if volume.writable else [f"mount -o remount,bind,ro {here}"]
        for path in [*MACHINE, *{Path(sys.base_prefix), Path(sys.prefix), ROOT}]:
            if path.is_symlink() and path.parent == Path("/"):
                lines.append(f"cp -d {path} .{path}")
            elif path.exists():
                lines += [f"mkdir -p .{path}", f"mount --rbind {path} .{path}"]
                lines += [] if path.name in {"dev", "proc"} else [f"mount -o remount,bind,ro .{path}"]
        lines.append(f"mount --bind {hosts} ./etc/hosts")
        lines += ["mount -o remount,ro .", "pivot_root . old", "umount -l /old", "cd /"]
        setting = " ".join(shlex.quote(f"{name}={value}") for name, value in self.environment.items())
        nobody = f"unshare --user --map-user={self.user} --map-group={self.user}"
        return "\n".join([*lines, f"exec {nobody} env -i {setting} {shlex.join(['parley', *self.command])}"])


class Host:
    """A machine that runs containers on one network, where they have names; what is started here is stopped here."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        if shutil.which("unshare") is None or shutil.which("nsenter") is None:
            pytest.skip("namespaces need the commands unshare and nsenter")
        self._folder = folder
        self._hosts = folder / "hosts"
        self._hosts.write_text(f"127.0.0.1 localhost {' '.join(names)}\n")
        loopback = "import fcntl, socket, struct; s = socket.socket(); "
        loopback += "fcntl.ioctl(s, 0x8914, struct.pack('16sh', b'lo', 0x49))"  # SIOCSIFFLAGS: up and running
        network = [sys.executable, "-c", f"{loopback}; print('up', flush=True); input()"]
        self._network = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--net", *network],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._network.stdout
        self.processes: dict[str, subprocess.Popen[str]] = {}
        if self._network.stdout.readline() != "up\n":
            _, error = self._network.communicate()
            pytest.skip(f"this machine has no namespaces: {error.strip().splitlines()[-1]}")

    def start(self, name: str, container: Container) -> None:
        """Start a container; its output goes to a file."""
        enter = ["nsenter", "--target", str(self._network.pid), "--user", "--net", "--preserve-credentials"]
        with (self._folder / f"{name}.log").open("w") as log:
            self.processes[name] = subprocess.Popen(
                [*enter, "unshare", "--mount", "bash", "-c", container.script(self._hosts)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, text=True, env=dict(os.environ),
            )  # fmt: skip

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text()

    def wait_for(self, name: str, text: str) -> None:
        """Wait until a container says something."""
        until = time.monotonic() + PATIENCE
        while text not in self.log(name):
            ended = self.processes[name].poll()
            assert ended is None, f"{name} ended with {ended}: {self.log(name)}"
            assert time.monotonic() < until, f"{name} does not say {text!r}: {self.log(name)}"
            time.sleep(0.1)

    def run(self, name: str, container: Container) -> int:
        """Start a container and return its exit code."""
        self.start(name, container)
        return self.processes.pop(name).wait(PATIENCE)

    def stop(self, name: str) -> int:
        """Stop a container as a runtime does, and return its exit code."""
        self.processes[name].terminate()
        return self.processes.pop(name).wait(PATIENCE)

    def close(self) -> None:
        for name in list(self.processes):
            self.stop(name)
        self._network.communicate("\n")
