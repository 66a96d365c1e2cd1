"""Blobs beside messages: what goes to the vault instead of a message, and how long it stays.

Content larger than `MAX_INLINE` is itself a blob. Before that, in a message of this protocol, each large
`bytes` in a field called ``blob`` leaves it, so that the cloud never holds a large sealed image: in the
cloud's copy of the message a `BlobReference` stands in its place.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256

from protocol.grids.grpc.quotas import Quotas, Room
from protocol.grids.grpc.transport import MAX_INLINE
from protocol.messages.base import BlobReference
from protocol.storage.vault import Arrival, Vault

MAX_BLOB_INLINE = 64 << 10
"""Bytes of a field called ``blob`` that may stay in the message."""
MAX_FRAMES = 16 << 20
"""Bytes of frames with the same content that may wait for their parties at once."""


def reference(pieces: Iterable[bytes]) -> BlobReference:
    """Return the reference to a blob of these pieces."""
    state, length = sha256(), 0
    for piece in pieces:
        state.update(piece)
        length += len(piece)
    return BlobReference(digest=state.digest(), length=length)


def is_small(pieces: Iterable[bytes], copies: int = 1) -> bool:
    """Whether packed content may go in the frame itself, or in `copies` frames."""
    size = sum(map(len, pieces))
    return size <= MAX_INLINE and size * copies <= MAX_FRAMES


class Storage:
    """The vault, with a count of the blobs that belong to messages under way.

    Only those are deleted, after the last of these messages: a blob that was there before, or
    that a workflow keeps from a reply, stays.

    Args:
        vault: The cloud's.
        quotas: How much of it parties may take.

    Attributes:
        room: Who takes how much.
    """

    def __init__(self, vault: Vault, quotas: Quotas) -> None:
        self._vault = vault
        self._lock = threading.Lock()
        self._uses: Counter[bytes] = Counter()
        self.room = Room(quotas, lambda: vault.held, lambda blob: blob.hex() in vault)

    def put(self, blob: BlobReference, pieces: Iterable[bytes]) -> None:
        """Store a blob until it has been released as often as it was put.

        Raises:
            BlobTooLarge, BlobDamaged: When these pieces are not this blob; then nothing of them is left.
        """
        arrival = self.arrive(blob)
        try:
            for piece in pieces:
                arrival.write(piece)
            self.store(blob, arrival)
        finally:
            arrival.abandon()

    def arrive(self, blob: BlobReference) -> Arrival:
        """Begin to store a blob that comes piece by piece; `store` finishes it."""
        return self._vault.arrive(blob.length)

    def store(self, blob: BlobReference, arrival: Arrival) -> None:
        """Finish storing a blob; see `put`."""
        name = blob.digest.hex()
        with self._lock:
            of_a_workflow = blob.digest not in self._uses and name in self._vault
            if not of_a_workflow:
                self._uses[blob.digest] += 1
        try:
            arrival.finish(name)
        except BaseException:
            if not of_a_workflow:
                self.let_go([blob.digest])
            raise

    def hold(self, blobs: Iterable[bytes]) -> None:
        """Keep blobs for one more message."""
        with self._lock:
            for blob in blobs:
                if self._uses[blob] > 0:
                    self._uses[blob] += 1

    def get(self, blob: bytes) -> Iterator[bytes]:
        """Read a blob in chunks."""
        return self._vault.get(blob.hex())

    def read(self, blob: BlobReference) -> bytes:
        """Read a whole blob."""
        return self._vault.read(blob.digest.hex(), blob.length)

    def let_go(self, blobs: Iterable[bytes]) -> None:
        """Delete blobs that no message under way needs any more."""
        with self._lock:
            for blob in blobs:
                if self._uses[blob] > 0:
                    self._uses[blob] -= 1
                    if self._uses[blob] == 0:
                        del self._uses[blob]
                        self._vault.delete(blob.hex())

    def keep(self, blob: bytes) -> None:
        """Leave a blob to a workflow from now on."""
        with self._lock:
            self._uses.pop(blob, None)
