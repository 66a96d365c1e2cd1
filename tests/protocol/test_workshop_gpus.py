"""How jobs share GPUs, on a Ray that says it has two of them."""

import os
import sys
from pathlib import Path

import pytest
import torch

from protocol.ray_cluster import RayUnavailable
from protocol.workshop import RayWorkshop


def alone(device: torch.device, marks: str) -> str:
    """The GPU that this job was lent; it fails if another job has it meanwhile."""
    lent = os.environ["CUDA_VISIBLE_DEVICES"]
    mark = Path(marks) / lent
    mark.touch(exist_ok=False)
    torch.randn(300, 300).svd()
    mark.unlink()
    return lent


@pytest.mark.filterwarnings("ignore::FutureWarning")  # Ray's tip on its own future
@pytest.mark.skipif(torch.cuda.is_available(), reason="pretends to GPUs where there are none")
def test_each_job_is_lent_a_gpu_of_its_own_and_the_report_tells_the_device_that_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # else `connect` sees to it
    ray.init(
        address="local", num_cpus=4, num_gpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
    )
    try:
        with RayWorkshop(workers=4) as workshop:
            assert workshop.equipment == "side by side on Ray, one GPU each: 2 in the cluster"
            ends = workshop.gather([workshop.submit(alone, str(tmp_path)) for _ in range(6)])
        assert ray.is_initialized()
    finally:
        ray.shutdown()
    assert {end.result() for end in ends} <= {"0", "1"}
    assert {end.device for end in ends} == {"CPU"}


def test_a_workshop_at_no_cluster_is_one_sentence() -> None:
    pytest.importorskip("ray")
    with pytest.raises(RayUnavailable, match="no Ray cluster at"):
        RayWorkshop(address="127.0.0.1:9")
