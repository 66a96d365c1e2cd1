r"""The messages of a sum whose summands the cloud does not see.

Bonawitz et al. 2017, figure 4, for clients and a cloud that follow the protocol and are curious:

====  ==================  ==================  ==================================================================
step  the cloud says      the client answers  what for
====  ==================  ==================  ==================================================================
keys  `KeyCall`           `RoundKeys`         keys of this round
deal  `Roster`            `DealtShares`       shares of the seeds of its masks, sealed to each peer
add   `AddCall`           `MaskedValues`      its update behind masks
show  `ShowCall`          `ShownShares`       shares of the masks of those present, and of the keys of those absent
====  ==================  ==================  ==================================================================

The cloud is trusted to pass on the clients' keys: with keys of its own it could read summands.
"""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Len, MaxLen
from numpy.typing import NDArray

from protocol.messages.base import ArrayOf, ProtocolMessage, PublicKey

Name = Annotated[str, MaxLen(100)]
Place = Annotated[int, Gt(0)]
Share = Annotated[bytes, Len(66, 66)]
MAX_VALUES = 200_000_000


class Round(ProtocolMessage):
    """One sum: of what training, and the number of its round."""

    training: Name
    number: Annotated[int, Ge(0)]


class KeyCall(ProtocolMessage):
    """Make keys for a sum."""

    round: Round


class RoundKeys(ProtocolMessage):
    """Public keys for masks and for shares (X25519)."""

    masks: PublicKey
    shares: PublicKey


class Peer(ProtocolMessage):
    """A client of a sum, by its place."""

    place: Place
    keys: RoundKeys


class Roster(ProtocolMessage):
    """All clients of a sum, which one you are, and how many are needed to remove masks."""

    round: Round
    you: Place
    threshold: Annotated[int, Gt(0)]
    peers: Annotated[tuple[Peer, ...], Len(1, 10_000)]


class SealedShares(ProtocolMessage):
    """Two shares, sealed for one place by another: of an own mask's seed, and of a mask key."""

    source: Place
    target: Place
    sealed: Annotated[bytes, Len(1, 400)]


class DealtShares(ProtocolMessage):
    """Shares for all peers, oneself included."""

    shares: Annotated[tuple[SealedShares, ...], Len(1, 10_000)]


class AddCall(ProtocolMessage):
    """Compute on this model and send the result, masked, with masks shared with those who have dealt.

    A workflow's subclass adds what else is needed. All get the same message, so that parties of one process can
    compute together.
    """

    round: Round
    model: Annotated[NDArray[np.float32], ArrayOf("float32", (None,), MAX_VALUES)]
    dealt: Annotated[tuple[Place, ...], MaxLen(10_000)]


class MaskedValues(ProtocolMessage):
    """Number of pictures and weighted update, in fixed point, behind masks."""

    values: Annotated[NDArray[np.uint64], ArrayOf("uint64", (None,), 2 * MAX_VALUES)]


class ShowCall(ProtocolMessage):
    """These places have answered, those have not: show the shares that they dealt you."""

    round: Round
    present: Annotated[tuple[Place, ...], Len(1, 10_000)]
    absent: Annotated[tuple[Place, ...], MaxLen(10_000)]
    shares: Annotated[tuple[SealedShares, ...], MaxLen(10_000)]


class ShownShare(ProtocolMessage):
    """A share of a seed that belongs to a place."""

    place: Place
    value: Share


class ShownShares(ProtocolMessage):
    """Shares of the own masks of those present, and of the mask keys of those absent."""

    own_masks: Annotated[tuple[ShownShare, ...], MaxLen(10_000)]
    mask_keys: Annotated[tuple[ShownShare, ...], MaxLen(10_000)]
