import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest

from protocol.compute.ray_cluster import RayUnavailable, connect

pytest.importorskip("ray")

SLOW = """
import threading, time
from protocol.compute.ray_cluster import connect
with connect(workers=1) as ray:
    @ray.remote
    def nap():
        time.sleep(600)
    task = nap.remote()
    threading.Timer(1, print, ["waiting"], {"flush": True}).start()
    ray.get(task)
"""

JOINED = """
import sys
from protocol.compute.ray_cluster import connect
with connect(workers=7, address=sys.argv[1]) as ray:
    print(ray.get(ray.remote(lambda: 6).remote()))
"""
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def processes_of(session: int) -> list[int]:
    """The living processes of a session, zombies left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z" and int(fields[3]) == session:
                found.append(int(entry.name))
    return found


def test_workers_import_what_the_driver_imports_and_another_connect_joins_in() -> None:
    with connect(workers=1) as ray:
        with connect(workers=1) as again:
            assert again is ray
        assert ray.is_initialized()
        where = ray.remote(lambda: import_module("protocol.errors").__file__)
        assert ray.get(where.remote()) == import_module("protocol.errors").__file__
        address = ray.get_runtime_context().gcs_address
        joined = subprocess.run(
            [sys.executable, "-c", JOINED, address], env=ENVIRONMENT, capture_output=True, text=True, check=True
        )
        assert joined.stdout == "6\n"
    assert not ray.is_initialized()
    with pytest.raises(RayUnavailable, match=r"no Ray cluster at .* start one with `ray start --head`"):
        connect(workers=1, address=address).__enter__()


def test_a_wrong_address_is_one_sentence_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    start = time.perf_counter()
    with pytest.raises(RayUnavailable, match=r"no Ray cluster at 127\.0\.0\.1:9"), connect(1, "127.0.0.1:9"):
        pass
    with pytest.raises(RayUnavailable, match="head node as host:port"), connect(1, "ray://127.0.0.1:10001"):
        pass
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(RayUnavailable, match=r"no Ray cluster at 127\.0\.0\.1:9"), connect(1):
        pass
    assert time.perf_counter() - start < 10


def test_without_ray_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RayUnavailable, match="Ray is not installed"), connect(1):
        pass


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads processes from /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupt_leaves_no_process(number: signal.Signals) -> None:
    handled = f"import signal, sys\nsignal.signal(signal.SIGTERM, lambda n, f: sys.exit(128 + n))\n{SLOW}"
    driver = subprocess.Popen(
        [sys.executable, "-c", handled],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=ENVIRONMENT,
    )
    assert driver.stdout is not None
    assert driver.stdout.readline()
    assert len(processes_of(driver.pid)) > 3
    if number is signal.SIGINT:
        os.killpg(driver.pid, number)  # a terminal tells the whole group
    else:
        driver.send_signal(number)
    driver.communicate(timeout=60)
    assert driver.returncode == {signal.SIGINT: -signal.SIGINT, signal.SIGTERM: 143}[number]
    deadline = time.monotonic() + 10
    while processes_of(driver.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of(driver.pid) == []
