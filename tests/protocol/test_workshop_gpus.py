"""How jobs share GPUs, on a Ray that says it has two of them."""

import os
import sys
from pathlib import Path

import pytest
import torch
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from protocol.compute.ray_cluster import RayUnavailable
from protocol.compute.workshop import RayWorkshop
from protocol.grids import RayGrid


def alone(device: torch.device, marks: str) -> str:
    """The GPU that this job was lent; it fails if another job has it meanwhile."""
    lent = os.environ["CUDA_VISIBLE_DEVICES"]
    mark = Path(marks) / lent
    mark.touch(exist_ok=False)
    torch.randn(300, 300).svd()
    mark.unlink()
    return lent


class Placed:
    """Says which GPU it was lent."""

    def __init__(self, device: torch.device) -> None:
        self.lent = os.environ["CUDA_VISIBLE_DEVICES"]

    def gpu(self) -> str:
        return self.lent


class Lent(ClientApp):
    """Says which GPU its worker was lent."""

    def __call__(self, message: Message, context: Context) -> Message:
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        return Message(RecordDict({"here": ConfigRecord({"gpu": gpu})}), reply_to=message)


@pytest.mark.slow
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
            placed = [workshop.place(Placed), workshop.place(Placed)]
            assert {each.call("gpu") for each in placed} == {"0", "1"}
            del placed  # else there would be no GPU for a job
            ends = workshop.gather([workshop.submit(alone, str(tmp_path)) for _ in range(6)])
        for gpus, lent in ((True, {"0", "1"}), (False, {""})):
            with RayGrid([Lent(), Lent()], workers=2, gpus=gpus) as grid:
                asked = [
                    grid.create_message(RecordDict(), "query.lent", node_id, "") for node_id in grid.get_node_ids()
                ]
                replies = grid.send_and_receive(asked, timeout=60)
                assert {reply.content["here"]["gpu"] for reply in replies} == lent
        assert ray.is_initialized()
    finally:
        ray.shutdown()
    assert {end.result() for end in ends} <= {"0", "1"}
    assert {end.device for end in ends} == {"CPU"}


def test_a_workshop_at_no_cluster_is_one_sentence() -> None:
    pytest.importorskip("ray")
    with pytest.raises(RayUnavailable, match="no Ray cluster at"):
        RayWorkshop(address="127.0.0.1:9")
