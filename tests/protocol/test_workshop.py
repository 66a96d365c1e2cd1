"""Heavy work: one contract for every workshop; Ray gives what this process gives, and survives what kills a worker."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

from protocol.compute.workshop import Done, LocalWorkshop, ProcessWorkshop, RayWorkshop, Workshop


def trained(device: torch.device, seed: int) -> torch.Tensor:
    """The weights of a small convolution after a few steps."""
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Conv2d(3, 8, 3)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, generator=generator)
    layer.to(device)
    optimiser = torch.optim.SGD(layer.parameters(), 0.01)
    for _ in range(5):
        loss = layer(torch.randn(16, 3, 24, 24, generator=generator).to(device)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return layer.weight.detach().cpu()


def threads(device: torch.device) -> tuple[int, bool]:
    return torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()


def dividing(device: torch.device, number: int) -> float:
    return 1 / number


def dying(device: torch.device, marks: str, times: int) -> int:
    """Kills its process until it has left as many marks."""
    lives = len(list(Path(marks).iterdir()))
    if lives < times:
        (Path(marks) / str(lives)).touch()
        os._exit(1)
    return lives


KILLED = """
import os, signal, threading
import psutil
from protocol.compute.workshop import ProcessWorkshop

def lasting(device):
    threading.Event().wait()

with ProcessWorkshop(2) as workshop:
    workshop.gather([workshop.submit(lambda device: None)])
    for _ in range(2):
        workshop.submit(lasting)
    print(*(child.pid for child in psutil.Process().children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
"""A program that is killed while its processes work."""


class Tally:
    """Adds up; an object that a workshop keeps."""

    def __init__(self, device: torch.device, start: int) -> None:
        self.total, self.device = start, device

    def add(self, number: int) -> int:
        self.total += number
        return self.total

    def where(self) -> tuple[int, bool, str]:
        return *threads(self.device), self.device.type


class WorkshopContract:
    @pytest.fixture
    def workshop(self) -> Workshop:
        raise NotImplementedError

    def test_results_come_in_the_order_of_the_handles(self, workshop: Workshop) -> None:
        handles = [workshop.submit(dividing, number) for number in (1, 2, 4, 8)]
        told: list[int] = []
        done = workshop.gather(handles[::-1], lambda index, done: told.append(index))
        assert [end.result() for end in done] == [0.125, 0.25, 0.5, 1.0]
        assert sorted(told) == [0, 1, 2, 3]

    def test_the_same_seed_gives_the_same_weights_as_in_this_process(self, workshop: Workshop) -> None:
        ends = workshop.gather([workshop.submit(trained, seed) for seed in (1, 2, 1)])
        first, other, again = (end.result() for end in ends)
        with LocalWorkshop() as local:
            (here,) = local.gather([local.submit(trained, 1)])
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert torch.equal(first, here.result())

    def test_a_job_runs_on_one_thread_by_deterministic_algorithms(self, workshop: Workshop) -> None:
        (end,) = workshop.gather([workshop.submit(threads)])
        assert end.result() == (1, True)
        assert not torch.are_deterministic_algorithms_enabled()

    def test_a_function_that_raises_is_one_failed_job(self, workshop: Workshop) -> None:
        good, bad = workshop.gather([workshop.submit(dividing, number) for number in (2, 0)])
        assert good.result() == 0.5
        assert bad.value is None
        assert bad.failure is not None
        assert "in dividing" in bad.failure
        assert "ZeroDivisionError" in bad.failure
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            bad.result()

    def test_an_object_that_is_placed_stays_from_call_to_call(self, workshop: Workshop) -> None:
        tally, other = workshop.place(Tally, 5), workshop.place(Tally, 0)
        assert [tally.call("add", 1), tally.call("add", 2), other.call("add", 1)] == [6, 8, 1]
        assert tally.call("where") == (1, True, "cuda" if torch.cuda.is_available() else "cpu")
        with pytest.raises(RuntimeError, match=r"add failed[\s\S]*TypeError"):
            tally.call("add", "a word")
        assert tally.call("add", 0) == 8

    def test_it_says_what_it_runs_on(self, workshop: Workshop) -> None:
        (end,) = workshop.gather([workshop.submit(dividing, 1)])
        if torch.cuda.is_available():
            assert end.device == torch.cuda.get_device_name()
            assert "no GPU" not in workshop.equipment
        else:
            assert end.device == "CPU"
            assert "no GPU" in workshop.equipment
        assert end.seconds >= 0


class TestLocalWorkshop(WorkshopContract):
    @pytest.fixture
    def workshop(self) -> Iterator[Workshop]:
        with LocalWorkshop() as workshop:
            yield workshop


class SideBySideContract(WorkshopContract):
    """What holds where jobs run in processes of their own."""

    def test_jobs_run_side_by_side(self, workshop: Workshop, tmp_path: Path) -> None:
        if torch.cuda.is_available():
            pytest.skip("as many at once as there are GPUs")

        def meet(device: torch.device, own: str, other: str) -> bool:
            import time  # noqa: PLC0415

            (tmp_path / own).touch()
            deadline = time.monotonic() + 30
            while not (tmp_path / other).exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            return (tmp_path / other).exists()

        ends = workshop.gather([workshop.submit(meet, "a", "b"), workshop.submit(meet, "b", "a")])
        assert [end.result() for end in ends] == [True, True]

    @pytest.mark.slow
    def test_a_job_whose_worker_dies_is_begun_again_once(self, workshop: Workshop, tmp_path: Path) -> None:
        ends: list[Done[int]] = []
        for times in (1, 2):
            marks = tmp_path / str(times)
            marks.mkdir()
            ends += workshop.gather([workshop.submit(dying, str(marks), times)])
        assert ends[0].result() == 1
        assert ends[1].failure is not None
        assert "no result, after up to 2 attempts" in ends[1].failure
        (still,) = workshop.gather([workshop.submit(dividing, 1)])
        assert still.result() == 1.0


@pytest.fixture(scope="module")
def process_workshop() -> Iterator[Workshop]:
    if torch.cuda.is_available():
        pytest.skip("where there is a GPU jobs run on it")
    with ProcessWorkshop(workers=2) as workshop:
        yield workshop


class TestProcessWorkshop(SideBySideContract):
    @pytest.fixture
    def workshop(self, process_workshop: Workshop) -> Workshop:
        return process_workshop

    def test_processes_end_with_the_one_that_started_them(self, workshop: Workshop, tmp_path: Path) -> None:
        script = tmp_path / "killed.py"
        script.write_text(KILLED)
        killed = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, text=True, check=False, timeout=120)
        children = [psutil.Process(int(pid)) for pid in killed.stdout.split() if psutil.pid_exists(int(pid))]
        _, alive = psutil.wait_procs(children, timeout=60)
        assert len(killed.stdout.split()) >= 2
        assert alive == []

    def test_who_kills_its_process_takes_no_other_job_with_it(self, workshop: Workshop, tmp_path: Path) -> None:
        jobs = [workshop.submit(dying, str(tmp_path), 9), *(workshop.submit(dividing, number) for number in (1, 2, 4))]
        first, *others = workshop.gather(jobs)
        assert first.failure is not None
        assert [end.result() for end in others] == [1.0, 0.5, 0.25]


@pytest.fixture(scope="module")
def ray_workshop() -> Iterator[Workshop]:
    pytest.importorskip("ray")
    with RayWorkshop(workers=2) as workshop:
        yield workshop


class TestRayWorkshop(SideBySideContract):
    @pytest.fixture
    def workshop(self, ray_workshop: Workshop) -> Workshop:
        return ray_workshop
