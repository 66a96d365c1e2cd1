"""How the cloud removes the masks from a total, and who is to blame where that cannot be done."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from parties.secure_sum.board import Board
from parties.secure_sum.statements import mask_purpose, seed_commitment
from protocol.crypto.pairwise import PairwiseKey, expand
from protocol.messages.secure_sum import SHARE_BYTES, ShownShares
from strategies.privacy.secure_sum import Masked, mask
from strategies.privacy.shares import SharesBroken, reconstruct


@dataclass
class Unmasking:
    """Masks that are removed from a total.

    Attributes:
        false_showers, false_dealers: Places of those who showed a share that is not the one dealt, and of those whose
            shares, each as committed to, do not give their secret back.
        lost: Places whose secrets too few have shown shares of.
    """

    board: Board
    false_showers: set[int] = field(default_factory=set)
    false_dealers: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)

    def remove(
        self, total: Masked, part: Collection[int], present: Collection[int], shown: Mapping[int, ShownShares]
    ) -> Masked:
        """Return the total without masks; when one of the sets is not empty afterwards, it is none.

        Args:
            part: Places of those who masked their values with each other.
            present: Places of those whose values are in the total.
            shown: By place.
        """
        here = set(present)
        secrets = self._secrets(part, here, shown)
        if self.false_dealers or self.lost:
            return total
        total = total.copy()
        for place, secret in secrets.items():
            if place in here:
                total -= mask(secret, len(total))
                continue
            key = PairwiseKey(secret)
            for other in sorted(({*self.board.chosen[place].tolist(), *self.board.drawers(place)[0].tolist()}) & here):
                agreed = key.agreed(self.board.keys[other, :32].tobytes())
                numbers = mask(expand(agreed, mask_purpose(self.board.round)), len(total))
                total = total + numbers if other > place else total - numbers
        return total

    def _secrets(
        self, part: Collection[int], here: Collection[int], shown: Mapping[int, ShownShares]
    ) -> dict[int, bytes]:
        """Return the seed of the own mask of each who is present, and the mask key of each who is not."""
        threshold = self.board.graph.threshold
        shares, good = self._checked(here, shown)
        secrets = {}
        for place in sorted(part):
            holders = np.flatnonzero(good[place])[:threshold]
            if len(holders) < threshold:
                self.lost.add(place)
                continue
            try:
                secret = reconstruct(holders.tolist(), shares[place, holders])
            except SharesBroken:
                secret = b""
            if self._is_secret(place, secret, place in here):
                secrets[place] = secret
            else:
                self.false_dealers.add(place)
        return secrets

    def _is_secret(self, place: int, secret: bytes, present: bool) -> bool:
        if not secret:
            return False
        if present:
            return seed_commitment(self.board.digest, place + 1, secret) == self.board.own_masks[place]
        return PairwiseKey(secret).public == self.board.keys[place, :32].tobytes()

    def _checked(
        self, here: Collection[int], shown: Mapping[int, ShownShares]
    ) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], np.ndarray[tuple[int, ...], np.dtype[np.bool_]]]:
        """Sort shown shares by whose they are, (n, k + 1, 36), and say which are those dealt, (n, k + 1)."""
        n, holders = self.board.graph.clients, self.board.graph.neighbours + 1
        shares, good = np.zeros((n, holders, SHARE_BYTES), np.uint8), np.zeros((n, holders), bool)
        for place, answer in shown.items():
            sources, slots = self.board.drawers(place)
            rows = [(place, -1, answer.own)]
            rows += [
                (source, slot, row.tobytes())
                for source, slot, row in zip(sources.tolist(), slots.tolist(), answer.shares, strict=True)
                if row.any()
            ]
            for source, slot, row in rows:
                if self.board.is_committed(source, slot, 0 if source in here else 1, row):
                    shares[source, slot + 1], good[source, slot + 1] = np.frombuffer(row, np.uint8), True
                else:
                    self.false_showers.add(place)
        return shares, good
