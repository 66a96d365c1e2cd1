"""A cloud's metrics for Prometheus."""

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from deploy.overview import Overview
from parties.purchase.terms import COIN

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class CloudCollector(Collector):
    """Looks at the cloud each time it is asked.

    Args:
        look: Returns the cloud as it is.
    """

    def __init__(self, look: Callable[[], Overview]) -> None:
        self._look = look

    def describe(self) -> Iterator[Metric]:
        """Name no metrics beforehand, for which the cloud would have to be looked at."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        now = self._look()
        there = Counter((party.role, party.attached) for party in now.parties)
        yield _gauge("parties", "Parties that have ever attached", ("role", "attached"), {
            (role, str(attached).lower()): count for (role, attached), count in there.items()
        })  # fmt: skip
        yield _gauge("workflows", "Workflows by state", ("state",), {(name,): n for name, n in now.workflows.items()})
        yield _gauge("workflows_running", "Workflows that run, by kind and step", ("workflow", "step"), {
            (workflow, str(step)): count for (workflow, step), count in now.steps.items()
        })  # fmt: skip
        yield _gauge("pools_running", "Pools of features that run", (), {(): now.pools})
        yield _gauge("draining", "Whether the cloud begins nothing new", (), {(): int(now.draining)})
        yield _gauge("escrow_coins", "Money held for workflows that run", (), {(): now.escrow / COIN})
        yield _gauge("earned_coins", "Money that the cloud has earned", (), {(): now.earned / COIN})
        yield _gauge("questions_waiting", "Questions that parties have not answered yet", (), {(): now.waiting})
        yield _gauge("vault_bytes", "Bytes of blobs in the vault", (), {(): now.vault})
        moved = CounterMetricFamily("parley_wire_bytes", "Bytes of frames and blobs", labels=("direction",))
        moved.add_metric(("sent",), now.sent)
        moved.add_metric(("received",), now.received)
        yield moved
        refused = CounterMetricFamily(
            "parley_refused_calls", "Calls that were refused or broke off", labels=("status",)
        )
        for status, count in sorted(now.refused.items()):
            refused.add_metric((status,), count)
        yield refused


def registry_of(look: Callable[[], Overview]) -> CollectorRegistry:
    """Return the metrics of a cloud and its process."""
    registry = CollectorRegistry()
    registry.register(CloudCollector(look))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def written(registry: CollectorRegistry) -> bytes:
    """Return metrics in Prometheus's text format."""
    return generate_latest(registry)


def _gauge(
    name: str, description: str, labels: tuple[str, ...], values: dict[tuple[str, ...], float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"parley_{name}", description, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family
