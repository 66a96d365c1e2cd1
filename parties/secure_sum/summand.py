"""A client's part in a secure sum (see `protocol.messages.secure_sum`)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.crypto.pairwise import ShareBroken, agreed, open_shares, public_key, seal_shares
from protocol.crypto.signing import derive
from protocol.errors import ProtocolError
from protocol.messages.secure_sum import (
    DealtShares,
    Peer,
    Roster,
    Round,
    RoundKeys,
    SealedShares,
    ShowCall,
    ShownShare,
    ShownShares,
)
from strategies.privacy.secure_sum import SHARE_BYTES, Masked, masked, quantise, share

LIMIT = 2.0**20
"""Larger values are clipped: far beyond any update, and 2^18 clients do not overflow."""


class UnsafeSum(ProtocolError):
    """The cloud's question would reveal this client's update; the text says why."""


@dataclass(frozen=True)
class Summand:
    """A client in one round. Its keys derive from its secret.

    Attributes:
        secret: The client's, 32 bytes.
    """

    secret: bytes
    round: Round

    def keys(self) -> RoundKeys:
        """Return the public keys of this round."""
        return RoundKeys(masks=public_key(self._seed("mask key")), shares=public_key(self._seed("share key")))

    def deal(self, roster: Roster) -> DealtShares:
        """Split the seed of the own mask and the mask key among all peers.

        Raises:
            UnsafeSum: When half of the peers, or fewer, could remove masks, or the roster does not list this client's
                keys.
        """
        self._check(roster)
        places = [peer.place for peer in roster.peers]
        own = share(self._seed("own mask"), places, roster.threshold, self._seed("shares of own mask"))
        key = share(self._seed("mask key"), places, roster.threshold, self._seed("shares of mask key"))
        return DealtShares(
            shares=tuple(
                SealedShares(
                    source=roster.you,
                    target=peer.place,
                    sealed=seal_shares(
                        self._seed("share key"),
                        peer.keys.shares,
                        self._context(roster.you, peer.place),
                        own[peer.place] + key[peer.place],
                    ),
                )
                for peer in roster.peers
            )
        )

    def add(self, values: NDArray[np.float64], roster: Roster, dealt: Sequence[int]) -> Masked:
        """Return values behind the own mask and those shared with every peer who has dealt.

        Raises:
            UnsafeSum: When too few have dealt to remove masks, or they are not on the roster.
        """
        self._check(roster)
        others = {peer.place: peer for peer in roster.peers if peer.place != roster.you}
        sources = set(dealt) - {roster.you}
        if not sources <= others.keys() or len(sources) + 1 < roster.threshold:
            raise UnsafeSum(f"{len(sources)} peers have dealt shares, and {roster.threshold} clients are needed")
        seeds = {place: self._with(others[place]) for place in sorted(sources)}
        return masked(
            quantise(values, LIMIT),
            self._seed("own mask"),
            [seed for place, seed in seeds.items() if place > roster.you],
            [seed for place, seed in seeds.items() if place < roster.you],
        )

    def show(self, call: ShowCall, roster: Roster) -> ShownShares:
        """Return shares of the own masks of those present and of the mask keys of those absent.

        Shares that are none are left out: that is their dealer's doing, and those of the others may do.

        Raises:
            UnsafeSum: When both are asked of one client, or too few are present, or the roster is of another sum.
        """
        self._check(roster)
        present, absent = set(call.present), set(call.absent)
        if present & absent or len(present) < roster.threshold or roster.you not in present:
            raise UnsafeSum(
                f"{len(present)} present, {len(absent)} absent, {len(present & absent)} of them both;"
                f" {roster.threshold} have to be present, this client among them"
            )
        opened = {
            each.source: both
            for each in call.shares
            if each.source in present | absent and (both := self._opened(each, roster)) is not None
        }
        return ShownShares(
            own_masks=tuple(
                ShownShare(place=place, value=both[:SHARE_BYTES])
                for place, both in sorted(opened.items())
                if place in present
            ),
            mask_keys=tuple(
                ShownShare(place=place, value=both[SHARE_BYTES:])
                for place, both in sorted(opened.items())
                if place in absent
            ),
        )

    def _opened(self, sealed: SealedShares, roster: Roster) -> bytes | None:
        """Return the two shares that a peer has sealed, None if it has not."""
        for peer in roster.peers:
            if peer.place == sealed.source:
                context = self._context(peer.place, roster.you)
                try:
                    both = open_shares(self._seed("share key"), peer.keys.shares, context, sealed.sealed)
                except ShareBroken:
                    return None
                return both if len(both) == 2 * SHARE_BYTES else None
        return None

    def _check(self, roster: Roster) -> None:
        mine = [peer.keys for peer in roster.peers if peer.place == roster.you]
        if mine != [self.keys()] or roster.round != self.round:
            raise UnsafeSum("the roster does not list this client's keys of this round")
        if len(roster.peers) < 2:
            raise UnsafeSum("a sum of one client is what it adds: two or more have to take part")
        if 2 * roster.threshold <= len(roster.peers):
            raise UnsafeSum(f"{roster.threshold} of {len(roster.peers)} clients could remove masks: it has to be most")

    def _with(self, peer: Peer) -> bytes:
        return agreed(self._seed("mask key"), peer.keys.masks, mask_purpose(self.round))

    def _seed(self, what: str) -> bytes:
        return derive(self.secret, "secure sum", self.round.training, str(self.round.number), what)

    def _context(self, source: int, target: int) -> str:
        return f"{self.round.training} {self.round.number} {source} {target}"


def mask_purpose(round: Round) -> str:
    """Name the purpose of the seed of a mask between two clients."""
    return f"mask {round.training} {round.number}"
