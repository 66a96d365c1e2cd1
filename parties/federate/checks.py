"""The cloud's checks of clients' models, before any of Flower's strategies sees them."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid

from parties.workflow import Failure, WorkflowFailed
from protocol.encoding.codec import UnreadableMessage, read_array
from protocol.exchange import SILENT, reason_of
from protocol.grids.forwarding import ForwardingGrid
from strategies.learning.weights import Weights

FARTHEST = 100.0
"""How many norms of the model, and at least that many units, training may take it away: far beyond any training."""
NEAREST = 1e-12
"""How far training has to take a model whose update is clipped: Flower divides by the distance."""
MOST_EXAMPLES = 10**9
_ARRAYS, _METRICS, _EXAMPLES = "arrays", "metrics", "num-examples"


def model_refusal(content: RecordDict, sent: Weights, nearest: float = 0.0) -> str | None:
    """Return why a client's model is refused, None when it can have come from training the one it was sent.

    Args:
        content: The client's answer, of unknown origin.
        sent: The model that it was sent.
        nearest: How far from that it has to be at least.
    """
    arrays, metrics = content.get(_ARRAYS), content.get(_METRICS)
    if not isinstance(arrays, ArrayRecord) or list(arrays) != list(sent):
        return f"its model does not have the parameters {', '.join(sent)}"
    examples = metrics.get(_EXAMPLES) if isinstance(metrics, MetricRecord) else None
    if type(examples) is not int or not 0 < examples <= MOST_EXAMPLES:
        return "it does not say on how many images it has trained"
    moved = norm = 0.0
    for name, value in sent.items():
        try:
            array = read_array(arrays[name])
        except UnreadableMessage as error:
            return str(error)
        if array.shape != tuple(value.shape) or array.dtype != np.float32:
            return f"{name} is {array.dtype} of shape {array.shape}, not float32 of {tuple(value.shape)}"
        if not np.isfinite(array).all():
            return f"{name} holds numbers that are not finite"
        before = value.numpy().astype(np.float64)
        moved += float(((array - before) ** 2).sum())
        norm += float((before**2).sum())
    if moved > (FARTHEST * max(1.0, norm**0.5)) ** 2:
        return f"its model is {moved**0.5:.3g} away from the one it was sent, farther than any training leads"
    if moved**0.5 < nearest:
        return "its model is the one it was sent, and an update of nothing cannot be clipped"
    return None


class CheckedGrid(ForwardingGrid):
    """Hands a strategy the models that can be used, and notes who sent none.

    Its nodes are those that are there at first: Flower's strategies would wait for ever for one that leaves.

    Args:
        grid: Asks the clients.
        sent: Returns the model that they were sent last.
        fail: Called with a step, and why each client failed it.
        nearest: See `model_refusal`.
    """

    def __init__(
        self,
        grid: Grid,
        sent: Callable[[], Weights],
        fail: Callable[[str, Mapping[int, str]], None],
        nearest: float = 0.0,
    ) -> None:
        super().__init__(grid)
        self._sent = sent
        self._nearest = nearest
        self._fail = fail
        self._nodes = sorted(grid.get_node_ids())

    def get_node_ids(self) -> Iterable[int]:
        """Return the clients, ascending."""
        return self._nodes

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send messages and return the replies that can be used.

        Raises:
            WorkflowFailed: When there is none.
        """
        asked = list(messages)
        failed = {message.metadata.dst_node_id: SILENT for message in asked}
        good = []
        for reply in super().send_and_receive(asked, timeout=timeout):
            node_id = reply.metadata.src_node_id
            if reply.has_error():
                why: str | None = reason_of(reply.error)
            else:
                why = model_refusal(reply.content, self._sent(), self._nearest)
            if why is None:
                failed.pop(node_id, None)
                good.append(reply)
            else:
                failed[node_id] = why
        self._fail("train", dict(sorted(failed.items())))
        if asked and not good:
            first = Failure("train", *min(failed.items())).sentence
            raise WorkflowFailed(f"no client sent a model that can be used; the first: {first}")
        return good
