r"""The messages of a sum whose summands the cloud does not see, though it may lie.

Bonawitz et al. 2017, figure 4 with the parts against active servers, on the graph of Bell et al. 2020:

=======  ============  ===============  ============================================================================
step     the cloud     the client       what for
=======  ============  ===============  ============================================================================
keys     `KeyCall`     `Advertisement`  fresh keys for this sum, signed by the client's identity
meet     `Crowd`       `Chosen`         how many there are, and a hash that binds all advertisements; then the client
                                        draws its neighbours, so that the cloud cannot choose them
deal     `Neighbours`  `DealtShares`    the neighbours' advertisements, with proofs; shares of the seed of its own mask
                                        and of its mask key, sealed to each, and commitments to them
take     `Inbox`       `TakenShares`    shares of those who drew the client, and whose do not open
add      `AddCall`     `MaskedValues`   its values behind masks; for its neighbours, with whom it masked them
confirm  `Present`     `Confirmation`   whose values arrived; that it was told so, signed
show     `ShowCall`    `ShownShares`    what its neighbours confirmed; of those present shares of the own mask, of
                                        the others shares of the mask key
=======  ============  ===============  ============================================================================

Places count from 1. Sets of places are bits, place 1 first. Rows of arrays are in the order of the neighbours that were
drawn (deal, add, signatures), or of the `Inbox` (take, confirm, shares).
"""

from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le, Len, MaxLen
from numpy.typing import NDArray

from protocol.messages.base import ArrayOf, Digest, ProtocolMessage, PublicKey, Signature, Voucher

Name = Annotated[str, MaxLen(100)]
MAX_CLIENTS = 10_000
MAX_VALUES = 200_000_000
KEY_BYTES, SEALED_BYTES, COMMITMENT_BYTES, TAG_BYTES, SHARE_BYTES, SIGNATURE_BYTES = 160, 88, 32, 16, 36, 64
"""Bytes in a row: an advertisement, two sealed shares, commitments to two shares, a tag, a share, a signature."""

Place = Annotated[int, Gt(0), Le(MAX_CLIENTS)]


def _rows(width: int | None, most: int = MAX_CLIENTS, least: int = 1) -> ArrayOf:
    return ArrayOf("uint8", (None, width), most * (width or 1), least)


Places = Annotated[NDArray[np.int32], ArrayOf("int32", (None,), 4 * MAX_CLIENTS, 0)]
Keys = Annotated[NDArray[np.uint8], _rows(KEY_BYTES, least=0)]
Sealed = Annotated[NDArray[np.uint8], _rows(SEALED_BYTES, least=0)]
Commitments = Annotated[NDArray[np.uint8], _rows(COMMITMENT_BYTES, least=0)]
Tags = Annotated[NDArray[np.uint8], _rows(TAG_BYTES, least=0)]
Bits = Annotated[NDArray[np.uint8], ArrayOf("uint8", (None,), MAX_CLIENTS // 8)]
NOBODY: NDArray[np.uint8] = np.zeros(1, np.uint8)


class Round(ProtocolMessage):
    """One sum: of what training, and the number of its round."""

    training: Name
    number: Annotated[int, Ge(0)]


class KeyCall(ProtocolMessage):
    """Make keys for a sum."""

    round: Round


class Advertisement(ProtocolMessage):
    """Public keys of one sum (X25519), for masks and for shares, and the signature of the client's identity."""

    masks: PublicKey
    shares: PublicKey
    identity: PublicKey
    signature: Signature
    voucher: Voucher | None = None


class Crowd(ProtocolMessage):
    """How many clients there are, which one you are, how many neighbours to draw, and how many restore a secret.

    `root` is the hash of the tree of all advertisements by place; `proof` shows yours.
    """

    round: Round
    you: Place
    clients: Place
    neighbours: Place
    threshold: Place
    root: Digest
    proof: Annotated[bytes, Len(32, 32 * 14)]


class Chosen(ProtocolMessage):
    """The places of the neighbours that a client has drawn."""

    places: Places


class Neighbours(ProtocolMessage):
    """Their advertisements, rows of both keys, the identity and the signature, and proofs that they are in the tree."""

    round: Round
    advertisements: Keys
    proofs: Annotated[NDArray[np.uint8], ArrayOf("uint8", (None, None), 32 * 14 * MAX_CLIENTS)]
    vouchers: Annotated[tuple[Voucher, ...], MaxLen(MAX_CLIENTS)] = ()


class DealtShares(ProtocolMessage):
    """Two shares, sealed for each neighbour, and commitments to them; first to those that the client holds itself.

    `own_mask` is a commitment to the seed of the own mask.
    """

    sealed: Sealed
    commitments: Commitments
    own_mask: Digest


class Inbox(ProtocolMessage):
    """Who has drawn you, their advertisements, and the shares that they sealed for you, with commitments."""

    round: Round
    places: Places
    advertisements: Keys
    sealed: Sealed
    commitments: Commitments


class TakenShares(ProtocolMessage):
    """The places of those whose shares do not open, or are not those committed to."""

    refused: Places


class AddCall(ProtocolMessage):
    """Compute on this model and send the result behind masks shared with those neighbours who are taking part.

    A workflow's subclass adds what else is needed. All get the same message, so that parties of one process can
    compute together.
    """

    version: ClassVar[int] = 2

    round: Round
    model: Annotated[NDArray[np.float32], ArrayOf("float32", (None,), MAX_VALUES)]
    dealt: Bits = NOBODY


class MaskedValues(ProtocolMessage):
    """Number of pictures and weighted update, behind masks; for each neighbour, a tag of who takes part."""

    version: ClassVar[int] = 2

    values: Annotated[NDArray[np.uint64], ArrayOf("uint64", (None,), 2 * MAX_VALUES)]
    tags: Tags


class Present(ProtocolMessage):
    """Those whose values have arrived, and the tags of those who have drawn you (zeros where none has arrived)."""

    round: Round
    present: Bits
    tags: Tags


class Confirmation(ProtocolMessage):
    """The client's signature under who took part and who is present."""

    signature: Signature


class ShowCall(ProtocolMessage):
    """What your neighbours have signed (zeros where they have not): show the shares that you hold."""

    version: ClassVar[int] = 2

    round: Round
    signatures: Annotated[NDArray[np.uint8], _rows(SIGNATURE_BYTES)]


class ShownShares(ProtocolMessage):
    """The client's own share of its own mask; and one share of each of those who have drawn it (zeros for none)."""

    version: ClassVar[int] = 2

    own: Annotated[bytes, Len(SHARE_BYTES, SHARE_BYTES)]
    shares: Annotated[NDArray[np.uint8], _rows(SHARE_BYTES, least=0)]
