"""A publication as the cloud drives it: from owners to readers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from parties.workflow import PATIENCE, OnStep, Record, Workflow, WorkflowFailed, any_step
from protocol.crypto.signing import derive
from protocol.exchange import Exchange
from protocol.messages.base import Acknowledgement
from protocol.messages.publish import CallForPictures, Gallery, Publication


@dataclass(frozen=True)
class Curator:
    """The cloud's calls. It knows whose images are published, readers do not.

    Attributes:
        secret: 32 bytes; the order of what is published derives from it.
        calls: One for each method.
        asks: How many times each is asked.
        patience: Seconds that parties have to answer.
    """

    secret: bytes = field(repr=False)
    calls: Sequence[CallForPictures]
    asks: int = 1
    patience: float = PATIENCE


@dataclass(frozen=True)
class Collection:
    """What was published by one method at one request.

    Attributes:
        gallery: Public.
        owners: (n,), node id of each picture's owner: known to the cloud alone.
        places: (n,), its position among its owner's pictures.
    """

    gallery: Gallery
    owners: NDArray[np.int64]
    places: NDArray[np.int64]


@dataclass
class PublishRecord(Record):
    """What happened.

    Attributes:
        collections: In order of publication.
    """

    collections: list[Collection] = field(default_factory=list)


class Publish(Workflow[PublishRecord]):
    """A publication by one or more methods.

    1. For each method, every owner is called (several times, by a curious cloud).
    2. The publications are shuffled, and sent to the readers.

    Args:
        exchange: Asks the parties.
        on_step: Called as each step begins.
    """

    role = "curator"
    STEPS = ("publishing",)

    def __init__(self, curator: Curator, exchange: Exchange, on_step: OnStep = any_step) -> None:
        super().__init__(exchange, PublishRecord(), curator.patience, on_step)
        self.curator = curator

    def run(self) -> PublishRecord:
        """Play it.

        Raises:
            WorkflowFailed: When a method brings no pictures.
        """
        present = self.roll_call()
        for number, call in enumerate(self.curator.calls, 1):
            self.begin(number, f"publishing by {call.method}")
            for ask in range(self.curator.asks):
                asked = call.model_copy(update={"ask": ask})
                collection = self._collect(asked, present.get("publisher", []))
                self.record.collections.append(collection)
                self.ask("read", dict.fromkeys(present.get("reader", []), collection.gallery), Acknowledgement)
        return self.record

    def _collect(self, call: CallForPictures, owners: Sequence[int]) -> Collection:
        known = len(self.record.failures)
        answers = self.ask("publish", dict.fromkeys(owners, call), Publication)
        if not answers:
            why = next((each.sentence for each in self.record.failures[known:]), "there are no owners")
            raise WorkflowFailed(f"no pictures were published by {call.method}: {why}")
        shapes = {found.pictures.shape[1:] for found in answers.values()}
        if len(shapes) > 1:
            raise WorkflowFailed(f"pictures published by {call.method} are of {len(shapes)} sizes, not of one")
        sealed = [part for found in answers.values() for part in found.sealed]
        whose = np.concatenate([np.full(len(found.labels), node_id) for node_id, found in answers.items()])
        places = np.concatenate([np.arange(len(found.labels)) for found in answers.values()])
        generator = np.random.default_rng(int.from_bytes(derive(self.curator.secret, "gallery", call.method)))
        order = generator.permutation(len(whose))
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
