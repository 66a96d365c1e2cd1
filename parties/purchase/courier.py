"""Steps 8 and 9: orders go to sellers, their sealed images into the vault and to the buyer, some at once."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from parties.purchase.checks import delivery_refusal
from parties.purchase.cloud import Cloud
from parties.purchase.offer import Offer
from parties.purchase.waves import FIRST_WAVE, next_size, next_wave, parcels, waves_left
from protocol.disputes.refusal import convicts, pass_on
from protocol.encoding.canonical import digest
from protocol.encoding.streaming import streams
from protocol.exchange import GRACE, NOT_AT_FAULT, SILENT, Exchange, Failed
from protocol.messages.base import BlobReference
from protocol.messages.purchase import MAX_BLOB, Delivery, DeliveryOrder, Kept, Parcel, ParcelItem, Refusal
from protocol.storage.vault import BlobDamaged, BlobMissing

_log = logging.getLogger(__name__)


class Courier:
    """Fetches what was ordered, and packs it for the buyer.

    Args:
        cloud: Signs orders, and has the vault.
        exchange: Asks the sellers.
        buyer: The buyer's node id.
        note: Called with a step, and why each party failed it, by node id.
        begin_deliveries: Called when a wave of orders goes out.
    """

    def __init__(
        self,
        cloud: Cloud,
        exchange: Exchange,
        buyer: int,
        note: Callable[[str, Mapping[int, str]], None],
        begin_deliveries: Callable[[], None],
    ) -> None:
        self._cloud = cloud
        self._exchange = exchange
        self._buyer = buyer
        self._note = note
        self._begin_deliveries = begin_deliveries

    def collect(self, pending: Sequence[Offer], *, last: bool) -> list[Offer]:
        """Order images in waves of at most one per seller and about `WAVE_BYTES`; return those without a reply.

        Waves share the time that is left, so that an absent seller does not use up that of the others: each has its
        part, and what earlier waves have left over.
        """
        delivered, total, wave = 0, 0, FIRST_WAVE
        silent: list[Offer] = []
        while pending:
            batch = next_wave(pending, wave)
            deadline = min(offer.placed.order.deliver_by for offer in batch.values())
            now = self._exchange.now()
            if now + GRACE > deadline:
                break
            for offer in batch.values():
                offer.asked = True
            questions = {seller: self._order(offer) for seller, offer in batch.items()}
            until = now + (deadline - now) / (1 + waves_left(pending, wave) - last)
            pending = [offer for offer in pending if batch.get(offer.seller) is not offer]
            self._begin_deliveries()
            expected: tuple[type[Delivery | Refusal], ...] = (Delivery, Refusal)
            for seller, answer in self._exchange.each("deliver", questions, expected, deadline, until=until):
                problem = self._problem(batch[seller], answer)
                if problem is not None:
                    self._note("deliver", {seller: problem})
                    batch[seller].asked = problem not in NOT_AT_FAULT  # what the cloud lost is not the seller's fault
                elif isinstance(answer, Delivery):
                    self._keep(batch[seller], answer)
                    delivered, total = delivered + 1, total + len(answer.blob)
                if problem == SILENT:
                    silent.append(batch[seller])
                del answer  # one sealed image at a time
            wave = next_size(wave, delivered, total)
        return silent

    def _order(self, offer: Offer) -> DeliveryOrder:
        return pass_on(offer.placed, self._cloud.release(offer.bid_id), self._cloud.identity)

    def _problem(self, offer: Offer, answer: Delivery | Refusal | Failed) -> str | None:
        """Return what is wrong with an answer to an order; a refusal with proof saves its seller's stake."""
        if isinstance(answer, Failed):
            return str(answer)
        if isinstance(answer, Delivery):
            return delivery_refusal(answer, offer, streamed=self._exchange.streams)
        if digest(answer.bid) != offer.bid_id or not convicts(answer, self._cloud.identity.public):
            return "the seller refused without proof"
        offer.refusal = answer
        return "the order that reached the seller is signed by the cloud and not by the buyer"

    def _keep(self, offer: Offer, delivery: Delivery) -> None:
        """Keep a sealed image in the vault, unless a streaming grid or a journal has put it there."""
        offer.receipt = delivery.receipt
        offer.blob = delivery.receipt.receipt.blob.hex()
        if isinstance(delivery.blob, bytes) and offer.blob not in self._cloud.vault:
            self._cloud.vault.put([delivery.blob], MAX_BLOB)

    def hand_over(self, request_id: bytes, offers: Sequence[Offer], ask: Callable[[Parcel], Kept | None]) -> None:
        """Send sealed images to the buyer, and note which it has kept; the others are sent once more.

        What the vault has lost is not sent. That is looked for once: a cloud that starts again sends the same parcels.

        Args:
            ask: Asks the buyer to keep a parcel.
        """
        for _ in range(2):
            for packed in list(parcels([offer for offer in offers if not offer.kept])):
                there = self.found(packed, self._has)
                kept = ask(self.parcel(request_id, there)) if there else None
                if kept is None:
                    continue
                for offer in there:
                    offer.kept = offer.bid_id in kept.bids
                if kept.refused:
                    self._note("receive", {self._buyer: kept.refused})

    def found(self, offers: Sequence[Offer], look: Callable[[Offer], bool]) -> list[Offer]:
        """Return those of whose sealed images something was so when this was first asked, before any restart."""
        seen = json.loads(self._exchange.read("vault", lambda: json.dumps([look(offer) for offer in offers])))
        return [offer for offer, was in zip(offers, seen, strict=True) if was]

    def _has(self, offer: Offer) -> bool:
        """Whether a sealed image can be sent."""
        assert offer.blob is not None
        there = offer.blob in self._cloud.vault if streams(self._exchange.grid) else self.is_whole(offer)
        if not there:
            _log.error("the vault has lost the sealed image %s", offer.blob)
        return there

    def is_whole(self, offer: Offer) -> bool:
        """Whether the vault has a sealed image as its seller delivered it."""
        assert offer.blob is not None
        with suppress(BlobMissing, BlobDamaged):
            return bool(self._cloud.vault.read(offer.blob, MAX_BLOB))
        return False

    def parcel(self, request_id: bytes, offers: Sequence[Offer]) -> Parcel:
        """Pack deliveries, from the vault unless the grid reads it itself, or has lost one since it was looked for."""
        items = []
        for offer in offers:
            assert offer.receipt is not None
            assert offer.blob is not None
            receipt = offer.receipt.receipt
            blob: bytes | BlobReference = BlobReference(digest=receipt.blob, length=receipt.length)
            if not streams(self._exchange.grid):
                with suppress(BlobMissing, BlobDamaged):
                    blob = self._cloud.vault.read(offer.blob, MAX_BLOB)
            items.append(ParcelItem(bid=offer.bid_id, receipt=offer.receipt, blob=blob))
        return Parcel(request_id=request_id, items=tuple(items))
