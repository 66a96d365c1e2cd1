"""What the cloud of a secure sum passes on between clients: advertisements, sealed shares and tags, by place."""

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from parties.secure_sum.statements import KINDS, commitment, crowd_digest, is_by, said_present, to_bits
from protocol.crypto.merkle import MerkleTree, depth_of
from protocol.messages.base import Voucher
from protocol.messages.secure_sum import (
    COMMITMENT_BYTES,
    KEY_BYTES,
    SEALED_BYTES,
    SIGNATURE_BYTES,
    TAG_BYTES,
    Crowd,
    DealtShares,
    Inbox,
    Neighbours,
    Present,
    Round,
    ShowCall,
)
from strategies.privacy.sum_graph import SumGraph


class Board:
    """Rows of bytes of a sum, by place (from 0 here), and who has drawn whom.

    Args:
        rows: Of each client, its advertisement.
        vouchers: Of each client; none where there are no certificates.

    Attributes:
        keys: (n, 160)
        chosen: (n, k), the places that each has drawn; -1 where it has drawn none.
        commitments: (n, k + 1, 32), to the shares of itself and of those.
        own_masks: By place, the commitment to the seed of its own mask.
        added: (n, k, 16), the tags that each has sent to its neighbours with its values.
        digest: The hash of what all are told alike.
    """

    def __init__(self, round: Round, graph: SumGraph, rows: list[bytes], vouchers: list[Voucher]) -> None:
        self.round, self.graph = round, graph
        n, k = graph.clients, graph.neighbours
        self._tree, self._depth, self._vouchers = MerkleTree(rows), depth_of(n), vouchers
        self.keys = np.frombuffer(b"".join(rows), np.uint8).reshape(n, KEY_BYTES)
        self.chosen = np.full((n, k), -1)
        self.commitments = np.zeros((n, k + 1, COMMITMENT_BYTES), np.uint8)
        self.own_masks: dict[int, bytes] = {}
        self.added = np.zeros((n, k, TAG_BYTES), np.uint8)
        self.digest = crowd_digest(self.crowd(0))
        self._sealed = np.zeros((n, k, SEALED_BYTES), np.uint8)
        self._inboxes: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def crowd(self, place: int) -> Crowd:
        """Return what a client is told first."""
        return Crowd(
            round=self.round,
            you=place + 1,
            clients=self.graph.clients,
            neighbours=self.graph.neighbours,
            threshold=self.graph.threshold,
            root=self._tree.root,
            proof=self._tree.proof(place),
        )

    def choose(self, place: int, places: NDArray[np.int32]) -> str | None:
        """Note whom a client has drawn, or return why that cannot be."""
        found = places.astype(np.int64) - 1
        if len(found) != self.graph.neighbours or len({*found.tolist(), place}) <= len(found):
            return f"it has not drawn {self.graph.neighbours} others"
        if found.min() < 0 or found.max() >= self.graph.clients:
            return "it has drawn somebody who is not there"
        self.chosen[place] = found
        return None

    def neighbours(self, place: int) -> Neighbours:
        """Return the keys of those whom a client has drawn."""
        drawn = self.chosen[place]
        proofs = b"".join(self._tree.proof(each) for each in drawn.tolist())
        return Neighbours(
            round=self.round,
            advertisements=self.keys[drawn],
            proofs=np.frombuffer(proofs, np.uint8).reshape(len(drawn), 32 * self._depth),
            vouchers=tuple(self._vouchers[each] for each in drawn.tolist()) if self._vouchers else (),
        )

    def deal(self, place: int, dealt: DealtShares) -> str | None:
        """Note the shares that a client has dealt, or return why they are none."""
        k = self.graph.neighbours
        if len(dealt.sealed) != k or len(dealt.commitments) != k + 1:
            return f"it has not dealt shares to {k} others and itself"
        self._sealed[place], self.commitments[place], self.own_masks[place] = (
            dealt.sealed,
            dealt.commitments,
            dealt.own_mask,
        )
        return None

    def sort(self) -> None:
        """Find who has drawn whom, among those who have dealt."""
        dealers = np.array(sorted(self.own_masks))
        k = self.graph.neighbours
        sources, slots = np.repeat(dealers, k), np.tile(np.arange(k), len(dealers))
        targets = self.chosen[dealers].ravel()
        order = np.argsort(targets, kind="stable")
        ends = np.searchsorted(targets[order], np.arange(self.graph.clients + 1))
        for place in range(self.graph.clients):
            mine = order[ends[place] : ends[place + 1]]
            self._inboxes[place] = sources[mine], slots[mine]

    def drawers(self, place: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return who has drawn a client and dealt, and as which of their neighbours."""
        return self._inboxes[place]

    def inbox(self, place: int) -> Inbox:
        """Return the shares that a client has been dealt."""
        sources, slots = self.drawers(place)
        return Inbox(
            round=self.round,
            places=(sources + 1).astype(np.int32),
            advertisements=self.keys[sources],
            sealed=self._sealed[sources, slots],
            commitments=self.commitments[sources, slots + 1],
        )

    def holders(self, places: Collection[int], refused: Mapping[int, Collection[int]]) -> dict[int, int]:
        """Count of each client how many of these hold shares of its secrets that they can show, itself included.

        Args:
            refused: Of each client, those whose shares do not open, by place.
        """
        here = np.zeros(self.graph.clients, bool)
        here[list(places)] = True
        bad: dict[int, int] = {}
        for place in places:
            for source in refused.get(place, ()):
                bad[source] = bad.get(source, 0) + 1
        return {
            place: 1 + int(here[self.chosen[place]].sum()) - bad.get(place, 0)
            for place in self.own_masks
            if here[place]
        }

    def present(self, place: int, bits: NDArray[np.uint8]) -> Present:
        """Return who is present, with the tags of those who have drawn a client."""
        return Present(round=self.round, present=bits, tags=self.added[self.drawers(place)])

    def shows(self, signed: Mapping[int, bytes]) -> dict[int, ShowCall]:
        """Return what the neighbours of each client that has signed have signed, too, where they are enough for it."""
        rows = np.zeros((self.graph.clients, SIGNATURE_BYTES), np.uint8)
        for place, signature in signed.items():
            rows[place] = np.frombuffer(signature, np.uint8)
        return {
            place: ShowCall(round=self.round, signatures=rows[self.chosen[place]])
            for place in self.with_holders(signed)
        }

    def with_holders(self, places: Collection[int]) -> list[int]:
        """Return those of whose secrets so many of these hold shares that they would go on."""
        held = self.holders(places, {})
        return [place for place in places if held[place] >= self.graph.threshold]

    def bits(self, places: Collection[int]) -> NDArray[np.uint8]:
        """Return a set of places as bits."""
        return to_bits((place + 1 for place in places), self.graph.clients)

    def is_signed(self, place: int, part: NDArray[np.uint8], present: NDArray[np.uint8], signature: bytes) -> bool:
        """Whether a client has signed who took part and who is present."""
        said = said_present(self.digest, part.tobytes(), present.tobytes())
        return is_by(self.keys[place, 64:96].tobytes(), "secure sum present", said, signature)

    def is_committed(self, source: int, slot: int, which: int, share: bytes) -> bool:
        """Whether a share is the one that a client has dealt.

        Args:
            slot: As which of its neighbours; -1: its own.
            which: 0 for the own mask, 1 for the mask key.
        """
        target = source if slot < 0 else int(self.chosen[source, slot])
        half = COMMITMENT_BYTES // 2
        bound = self.commitments[source, slot + 1, which * half : (which + 1) * half].tobytes()
        return commitment(self.digest, source + 1, target + 1, KINDS[which], share) == bound
