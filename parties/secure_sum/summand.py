"""A client's part in a secure sum (see `protocol.messages.secure_sum`)."""

import hmac
from collections.abc import Callable
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from parties.secure_sum.own import Added, Drawn, Met, Taken, Told
from parties.secure_sum.statements import (
    UnsafeSum,
    commitments,
    crowd_digest,
    from_bits,
    hashed,
    is_by,
    is_signed,
    mask_purpose,
    rows_of,
    said_present,
    seed_commitment,
    signed_part,
)
from protocol.crypto.merkle import MerkleRoot
from protocol.crypto.pairwise import PairwiseKey, ShareBroken, expand, open_shares, seal_shares, tag
from protocol.crypto.signing import SigningKey, derive
from protocol.errors import ProtocolError
from protocol.messages.base import Voucher
from protocol.messages.secure_sum import (
    COMMITMENT_BYTES,
    SHARE_BYTES,
    TAG_BYTES,
    Advertisement,
    Confirmation,
    Crowd,
    DealtShares,
    Inbox,
    MaskedValues,
    Neighbours,
    Present,
    Round,
    ShowCall,
    ShownShares,
    TakenShares,
)
from strategies.privacy.secure_sum import Masked, mask, masked, quantise
from strategies.privacy.shares import share
from strategies.privacy.sum_graph import SumGraph, refusal

LIMIT = 2.0**20
"""Larger values are refused: far beyond any update, and 2^18 clients do not overflow."""
_NO_TAG = bytes(TAG_BYTES)


class BadSummand(ProtocolError):
    """What a client computed cannot be added; the text says why."""


def quantised(values: NDArray[np.float64]) -> Masked:
    """Return a summand in fixed point.

    Raises:
        BadSummand: When it is not one row of finite numbers in range.
    """
    if values.ndim != 1 or not len(values):
        raise BadSummand(f"a summand is a row of numbers, not of shape {values.shape}")
    if not (np.abs(values) <= LIMIT).all():
        raise BadSummand(f"a summand holds a number that is none, or beyond {LIMIT:.0f}")
    return quantise(values, LIMIT)


class Summand:
    """A client in one sum.

    Its place and its neighbours, once it has met the others, are in `Met`. What could be asked twice is not decided
    here, but by who remembers (`parties.secure_sum.adding`).

    Args:
        round: The sum.
        fresh: 32 bytes of this sum alone; its keys and what it draws derive from them.
        fewest: Clients that have to be in a sum.
        corrupt: Share of clients that the cloud plays together with, at most.
    """

    def __init__(self, round: Round, fresh: bytes, fewest: int, corrupt: float) -> None:
        self.round, self._fresh = round, fresh
        self._fewest, self._corrupt = fewest, corrupt
        self._name = f"{round.training} {round.number}"

    def advertisement(self, identity: SigningKey, voucher: Voucher | None) -> Advertisement:
        """Return the public keys of this sum, signed."""
        masks, shares = self._mask_key.public, self._share_key.public
        return Advertisement(
            masks=masks,
            shares=shares,
            identity=identity.public,
            signature=identity.sign("secure sum keys", signed_part(self.round, masks, shares)),
            voucher=voucher,
        )

    def meet(self, crowd: Crowd, row: bytes) -> Met:
        """Draw neighbours.

        Args:
            row: The client's own advertisement.

        Raises:
            UnsafeSum: When there are too few clients, too few of them are neighbours, or too few restore a secret; or
                this client's keys are not at its place.
        """
        if crowd.clients < self._fewest:
            raise UnsafeSum(f"a sum of {crowd.clients} clients is refused: {self._fewest} or more have to take part")
        if why := refusal(SumGraph(crowd.clients, crowd.neighbours, crowd.threshold), self._corrupt):
            raise UnsafeSum(why)
        if not MerkleRoot(crowd.root, crowd.clients).binds(crowd.you - 1, row, crowd.proof):
            raise UnsafeSum("the tree does not hold this client's keys at its place")
        others = np.delete(np.arange(1, crowd.clients + 1), crowd.you - 1)
        if crowd.neighbours < len(others):  # in an order that nobody else can know, the first
            order = mask(self._seed("neighbours"), len(others))
            others = others[np.argpartition(order, crowd.neighbours)[: crowd.neighbours]]
        return Met(
            you=crowd.you,
            clients=crowd.clients,
            neighbours=crowd.neighbours,
            threshold=crowd.threshold,
            root=crowd.root,
            crowd=crowd_digest(crowd),
            places=others.astype(np.int32),
        )

    def deal(
        self, met: Met, told: Neighbours, identity: bytes, check: Callable[[bytes, Voucher | None], None]
    ) -> tuple[Drawn, DealtShares]:
        """Check the neighbours' keys, and split the seed of the own mask and the mask key among them.

        Args:
            identity: The client's own public key.
            check: Called with each neighbour's identity and voucher; raises where it is nobody's.

        Raises:
            UnsafeSum: When a key is not in the tree, not signed for this sum by its owner, or the same as another.
            LowOrderKey: When nothing can be agreed on with a key.
        """
        rows = self._checked(met, told, identity, check)
        agreed = [self._share_key.agreed(row[32:64]) for row in rows]
        drawn = Drawn(
            keys=rows_of((row[:96] for row in rows), 96),
            agreed=rows_of(agreed, 32),
            masks=rows_of((self._mask_seed(row[:32]) for row in rows), 32),
        )
        holders = met.neighbours + 1
        both = np.hstack(
            [
                share(self._seed("own mask"), holders, met.threshold, self._seed("shares of own mask")),
                share(self._seed("mask key"), holders, met.threshold, self._seed("shares of mask key")),
            ]
        )
        targets = [met.you, *met.places.tolist()]
        dealt = [each.tobytes() for each in both]
        sealed = (
            seal_shares(agreed[i], self._context(met.you, targets[i + 1]), dealt[i + 1]) for i in range(len(agreed))
        )
        return drawn, DealtShares(
            sealed=rows_of(sealed, 2 * SHARE_BYTES + 16),
            commitments=rows_of(
                (commitments(met.crowd, met.you, target, each) for target, each in zip(targets, dealt, strict=True)),
                COMMITMENT_BYTES,
            ),
            own_mask=seed_commitment(met.crowd, met.you, self._seed("own mask")),
        )

    def take(self, met: Met, drawn: Drawn, inbox: Inbox) -> tuple[Taken, TakenShares]:
        """Open the shares that others have dealt this client.

        Whose keys are false here has drawn somebody else: what is sealed with them is nobody's secret, and masks
        shared with them are more masks. So these keys are not checked, unless they are of a neighbour.

        Raises:
            UnsafeSum: When a client is named twice, or with other keys than before, or far more than draw anybody.
        """
        places = inbox.places.tolist()
        if not len(places) == len(inbox.advertisements) == len(inbox.sealed) == len(inbox.commitments):
            raise UnsafeSum("an inbox does not hold as many keys as shares")
        if len({*places, met.you}) <= len(places) or not all(0 < place <= met.clients for place in places):
            raise UnsafeSum("an inbox names a place that is none, or twice")
        if len(places) > 4 * met.neighbours:
            raise UnsafeSum(f"{len(places)} clients have drawn this one, far more than can be")
        index = {place: i for i, place in enumerate(met.places.tolist())}
        agreed, masks, shares = [], [], []
        for place, row, sealed, bound in zip(
            places, inbox.advertisements, inbox.sealed, inbox.commitments, strict=True
        ):
            keys, at = row[:64].tobytes(), index.get(place)
            if at is not None and drawn.keys[at, :64].tobytes() != keys:
                raise UnsafeSum(f"place {place} had other keys before")
            agreed.append(self._share_key.agreed(keys[32:]) if at is None else drawn.agreed[at].tobytes())
            masks.append(self._mask_seed(keys[:32]) if at is None else drawn.masks[at].tobytes())
            shares.append(self._opened(met, place, agreed[-1], sealed.tobytes(), bound.tobytes()))
        good = np.array([each is not None for each in shares], bool)
        taken = Taken(
            places=inbox.places,
            agreed=rows_of(agreed, 32),
            masks=rows_of(masks, 32),
            shares=rows_of((each or bytes(2 * SHARE_BYTES) for each in shares), 2 * SHARE_BYTES),
            good=good,
        )
        return taken, TakenShares(refused=inbox.places[~good])

    def add(self, values: Masked, met: Met, drawn: Drawn, taken: Taken, added: Added) -> MaskedValues:
        """Return values behind the own mask and those shared with every neighbour who takes part.

        Raises:
            UnsafeSum: When too few take part to remove masks.
        """
        part = from_bits(added.dealt, met.clients)
        _check_set(met, part, added.fewest, "take part in the sum")
        seeds = dict(zip(met.places.tolist(), drawn.masks, strict=True))
        seeds |= dict(zip(taken.places.tolist(), taken.masks, strict=True))
        seeds = {place: seed for place, seed in seeds.items() if part[place - 1]}
        said = hashed("added", met.crowd, added.dealt.tobytes())
        return MaskedValues(
            values=masked(
                values,
                self._seed("own mask"),
                [seed.tobytes() for place, seed in seeds.items() if place > met.you],
                [seed.tobytes() for place, seed in seeds.items() if place < met.you],
            ),
            tags=rows_of(
                (
                    tag(agreed.tobytes(), self._context(met.you, place), said)
                    for place, agreed in zip(met.places.tolist(), drawn.agreed, strict=True)
                ),
                TAG_BYTES,
            ),
        )

    def confirm(
        self, met: Met, taken: Taken, added: Added, told: Present, identity: SigningKey
    ) -> tuple[Told, Confirmation]:
        """Sign who is present.

        Raises:
            UnsafeSum: When too few are present, or this client is not, or one that did not take part.
        """
        part, present = from_bits(added.dealt, met.clients), from_bits(told.present, met.clients)
        if (present & ~part).any():
            raise UnsafeSum("somebody is present who does not take part in the sum")
        _check_set(met, present, added.fewest, "are present")
        if len(told.tags) != len(taken.places):
            raise UnsafeSum(f"{len(told.tags)} tags come for {len(taken.places)} clients")
        said = hashed("added", met.crowd, added.dealt.tobytes())
        same = [
            present[place - 1] and self._is_tag(agreed.tobytes(), place, met.you, said, each.tobytes())
            for place, agreed, each in zip(taken.places.tolist(), taken.agreed, told.tags, strict=True)
        ]
        signature = identity.sign("secure sum present", self._said(met, added, told.present))
        return Told(present=told.present, same=np.array(same, bool)), Confirmation(signature=signature)

    def show(self, met: Met, drawn: Drawn, taken: Taken, added: Added, told: Told, call: ShowCall) -> ShownShares:
        """Return shares of the own masks of those present and of the mask keys of the others who took part.

        Of a client that is present, but masked its values with others than this client did, none is shown; nor is one
        that did not open.

        Raises:
            UnsafeSum: When too few holders of this client's secrets have confirmed that the same are present.
        """
        part, present = from_bits(added.dealt, met.clients), from_bits(told.present, met.clients)
        if len(call.signatures) != met.neighbours:
            raise UnsafeSum(f"{len(call.signatures)} signatures come for {met.neighbours} neighbours")
        said = self._said(met, added, told.present)
        signed = (
            True
            for keys, each in zip(drawn.keys, call.signatures, strict=True)
            if each.any() and is_by(keys[64:].tobytes(), "secure sum present", said, each.tobytes())
        )
        confirmed = 1 + sum(islice(signed, met.threshold - 1))
        if confirmed < met.threshold:
            raise UnsafeSum(
                f"{confirmed} of {met.neighbours + 1} holders have confirmed who is present,"
                f" and {met.threshold} are needed"
            )
        here, took = present[taken.places - 1], part[taken.places - 1]
        own, keys = taken.shares[:, :SHARE_BYTES], taken.shares[:, SHARE_BYTES:]
        shows = taken.good & took & (~here | told.same)
        mine = share(self._seed("own mask"), met.neighbours + 1, met.threshold, self._seed("shares of own mask"))[0]
        return ShownShares(
            own=mine.tobytes(),
            shares=np.where(shows[:, None], np.where(here[:, None], own, keys), 0).astype(np.uint8),
        )

    def _checked(
        self, met: Met, told: Neighbours, identity: bytes, check: Callable[[bytes, Voucher | None], None]
    ) -> list[bytes]:
        rows = [row.tobytes() for row in told.advertisements]
        if len(rows) != met.neighbours or len(told.proofs) != met.neighbours:
            raise UnsafeSum(f"keys of {len(rows)} neighbours, and {len(told.proofs)} proofs, come for {met.neighbours}")
        own = self._mask_key.public + self._share_key.public + identity
        for part in (slice(0, 32), slice(32, 64), slice(64, 96)):
            if len({own[part], *(row[part] for row in rows)}) <= len(rows):
                raise UnsafeSum("two clients of the sum have the same key")
        tree = MerkleRoot(met.root, met.clients)
        vouchers = told.vouchers or (None,) * len(rows)
        if len(vouchers) != len(rows):
            raise UnsafeSum(f"{len(vouchers)} vouchers come for {len(rows)} neighbours")
        for place, row, proof, voucher in zip(met.places.tolist(), rows, told.proofs, vouchers, strict=True):
            if not tree.binds(place - 1, row, proof.tobytes()):
                raise UnsafeSum(f"the keys of place {place} are not those in the tree")
            if not is_signed(self.round, row):
                raise UnsafeSum(f"the keys of place {place} are not signed for this sum")
            check(row[64:96], voucher)
        return rows

    def _opened(self, met: Met, place: int, agreed: bytes, sealed: bytes, bound: bytes) -> bytes | None:
        """Return the two shares that a client has sealed for this one, None if they are not those committed to."""
        try:
            both = open_shares(agreed, self._context(place, met.you), sealed)
        except ShareBroken:
            return None
        return both if commitments(met.crowd, place, met.you, both) == bound else None

    def _is_tag(self, agreed: bytes, source: int, target: int, said: bytes, claimed: bytes) -> bool:
        return claimed != _NO_TAG and hmac.compare_digest(tag(agreed, self._context(source, target), said), claimed)

    def _said(self, met: Met, added: Added, present: NDArray[np.uint8]) -> bytes:
        return said_present(met.crowd, added.dealt.tobytes(), present.tobytes())

    def _mask_seed(self, public: bytes) -> bytes:
        return expand(self._mask_key.agreed(public), mask_purpose(self.round))

    @cached_property
    def _mask_key(self) -> PairwiseKey:
        return PairwiseKey(self._seed("mask key"))

    @cached_property
    def _share_key(self) -> PairwiseKey:
        return PairwiseKey(self._seed("share key"))

    def _seed(self, what: str) -> bytes:
        return derive(self._fresh, "secure sum", what)

    def _context(self, source: int, target: int) -> str:
        return f"{self._name} {source} {target}"


def _check_set(met: Met, members: NDArray[np.bool_], fewest: int, what: str) -> None:
    """Refuse a set of clients that is too small, or too few of whom hold this client's shares."""
    holders = 1 + int(members[met.places - 1].sum())
    if not members[met.you - 1]:
        raise UnsafeSum(f"this client is not among those who {what}")
    least = max(fewest, met.graph.least)
    if members.sum() < least or holders < met.threshold:
        raise UnsafeSum(
            f"{members.sum()} of {met.clients} clients {what}, {holders} of them holders of this one's shares;"
            f" {least} and {met.threshold} are needed"
        )
