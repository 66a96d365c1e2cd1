"""A publication as the cloud drives it: it collects from owners and hands out to readers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from flwr.serverapp import Grid
from numpy.typing import NDArray

from parties.workflow import roll_call
from protocol.crypto.signing import derive
from protocol.exchange import Exchange
from protocol.messages.base import Acknowledgement
from protocol.messages.publish import CallForPictures, Gallery, Publication

PATIENCE = 3600.0
"""Seconds that parties have to answer."""


class PublicationFailed(Exception):
    """Nobody published anything; the text says why."""


@dataclass(frozen=True)
class Collection:
    """What was published by one method when it was asked for once.

    Attributes
    ----------
    gallery : Gallery
        What everybody sees.
    owners : (n,) int64
        Node id of each picture's owner: the cloud knows, readers do not.
    places : (n,) int64
        Which of its owner's pictures it is, in the order in which that one sent them.
    """

    gallery: Gallery
    owners: NDArray[np.int64]
    places: NDArray[np.int64]


@dataclass
class PublishRecord:
    """What happened.

    Attributes
    ----------
    collections : list of Collection
        In the order in which they were published.
    failures : list of (str, int, str)
        Step, node id and reason of each party that failed.
    """

    collections: list[Collection] = field(default_factory=list)
    failures: list[tuple[str, int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Publishing:
    """The workflow.

    1. For each method, every owner is called (`asks` times, by a cloud that wants to know better).
    2. What came is put in an order that tells nothing, and read by the readers.

    Attributes
    ----------
    secret : bytes
        The cloud's, 32 bytes.
    calls : sequence of CallForPictures
        One for each method.
    asks : int
        How many times each is asked.
    on_step : callable
        Told of each method as it begins.
    """

    secret: bytes
    calls: Sequence[CallForPictures]
    asks: int = 1
    on_step: Callable[[str], None] = lambda method: None

    def run(self, grid: Grid) -> PublishRecord:
        """Play it.

        Raises
        ------
        PublicationFailed
            When a method brings no picture at all.
        """
        record, exchange = PublishRecord(), Exchange(grid)
        present = roll_call(exchange, PATIENCE)
        for call in self.calls:
            self.on_step(call.method)
            for ask in range(self.asks):
                record.collections.append(
                    self._collect(call.model_copy(update={"ask": ask}), present.get("publisher", []), exchange, record)
                )
                questions = dict.fromkeys(present.get("reader", []), record.collections[-1].gallery)
                heard = exchange.ask("read", questions, Acknowledgement, exchange.now() + PATIENCE)
                record.failures += [("read", node_id, why) for node_id, why in heard.failures.items()]
        return record

    def _collect(
        self, call: CallForPictures, owners: Sequence[int], exchange: Exchange, record: PublishRecord
    ) -> Collection:
        replies = exchange.ask("publish", dict.fromkeys(owners, call), Publication, exchange.now() + PATIENCE)
        record.failures += [("publish", node_id, why) for node_id, why in replies.failures.items()]
        answers = {node_id: found for node_id, found in replies.answers.items() if len(found.labels)}
        if not answers:
            why = next(iter(replies.failures.values()), "there are no owners").strip().splitlines()[-1]
            raise PublicationFailed(f"nobody published anything by {call.method}: {why}")
        shapes = {found.pictures.shape[1:] for found in answers.values()}
        if len(shapes) > 1:
            raise PublicationFailed(f"pictures published by {call.method} are of {len(shapes)} sizes, not of one")
        sealed = [part for found in answers.values() for part in found.sealed]
        whose = np.concatenate([np.full(len(found.labels), node_id) for node_id, found in answers.items()])
        places = np.concatenate([np.arange(len(found.labels)) for found in answers.values()])
        draws = np.random.default_rng(int.from_bytes(derive(self.secret, "gallery", call.method)))
        order = draws.permutation(len(whose))
        return Collection(
            Gallery(
                method=call.method,
                ask=call.ask,
                pictures=np.concatenate([found.pictures for found in answers.values()])[order],
                labels=np.concatenate([found.labels for found in answers.values()])[order],
                sealed=tuple(sealed[place] for place in order) if len(sealed) == len(order) else (),
            ),
            whose[order].astype(np.int64),
            places[order].astype(np.int64),
        )
