"""Contact sheets: small copies of pictures of any size, inside the page."""

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from PIL import Image

from parties.album import Pixels
from parties.offer import Offer, Outcome
from simulations.attacks import invert_bids, known_to_attackers, sampled
from simulations.delivered import delivered_picture, file_numbers
from simulations.report.compile import coins
from simulations.report.words import party_name
from simulations.scoring import ScoredPurchase, Trade
from simulations.world import World

SHEET = 60
"""Pictures on a sheet, at most; a sheet of pairs holds half as many."""
SHEET_PIXELS = 200_000_000
"""Pixels that a sheet opens, about: it holds fewer pictures where they are enormous."""
THUMBNAIL = 96
"""Longest side of a thumbnail, pixels."""

INVERTED = 8
"""Pictures that are shown beside what an attack makes of them."""

_SMALLEST = 48

_REFUSED = {
    Outcome.REFUNDED: "delivered",
    Outcome.UNDELIVERED: "never delivered",
    Outcome.UNPAID: "never ordered",
}


@dataclass(frozen=True)
class Shot:
    """One picture of a sheet.

    Attributes
    ----------
    image : str
        Data URI; empty where there is no picture.
    caption : str
        What is written under it.
    wrong : bool
        Whether it shows what was not asked for.
    beside : str or None
        Data URI of what was delivered instead; empty where that is lost, None for a picture that stands alone.
    beside_caption : str
        What is written under that.
    """

    image: str
    caption: str
    wrong: bool = False
    beside: str | None = None
    beside_caption: str = ""


@dataclass(frozen=True)
class Sheet:
    """A contact sheet: the first of `total` pictures."""

    shots: list[Shot]
    total: int

    @property
    def more(self) -> int:
        """Pictures that did not fit."""
        return self.total - len(self.shots)


def wanted_sheet(world: World) -> Sheet:
    """Show the buyer's samples."""
    shots = (Shot(thumbnail(picture), "") for picture in _affordable(world.samples, SHEET))
    return Sheet(list(shots), len(world.samples))


def bought_sheet(world: World, winners: Sequence[Offer], traded: Iterable[Trade]) -> Sheet:
    """Show the pictures that were paid for, as they were delivered."""
    numbers = file_numbers(winners)
    bought = [trade for trade in traded if trade.offer.paid]
    pictures = (delivered_picture(world, numbers[trade.offer.bid_id]) for trade in bought)
    received = (trade.picture if picture is None else picture for trade, picture in zip(bought, pictures, strict=True))
    shots = [
        Shot(thumbnail(picture), _caption(world, trade), wrong=trade.wanted is False)
        for trade, picture in zip(bought, _affordable(received, SHEET), strict=False)
    ]
    return Sheet(shots, len(bought))


def refused_sheet(world: World, winners: Sequence[Offer], traded: Iterable[Trade]) -> Sheet:
    """Show the pictures that won and were not paid for: what was offered beside what came."""
    numbers = file_numbers(winners)
    refused = [trade for trade in traded if trade.offer.won and not trade.offer.paid]
    shots = []
    for trade, offered in zip(refused, _affordable((trade.picture for trade in refused), SHEET // 2), strict=False):
        delivered = delivered_picture(world, numbers[trade.offer.bid_id])
        shots.append(
            Shot(
                thumbnail(offered),
                f"by {party_name(trade.offer.seller)}",
                beside="" if delivered is None else thumbnail(delivered),
                beside_caption=_REFUSED[trade.offer.outcome],
            )
        )
    return Sheet(shots, len(refused))


def inverted_sheet(scored: ScoredPurchase) -> Sheet | None:
    """Show pictures on offer beside what the cloud's inversion attack makes of them; None where it cannot attack."""
    world, record = scored.world, scored.record
    public = known_to_attackers(scored)
    known = sampled(scored.trades, world.class_names)
    if record.call is None or public is None or not known:
        return None
    shown = [known[index] for index in np.linspace(0, len(known) - 1, min(len(known), INVERTED)).astype(int)]
    guesses = invert_bids([trade.offer.bid.bid for trade in shown], record.call, public)
    shots = [
        Shot(
            thumbnail(trade.picture),
            world.class_names[trade.held.labels[trade.image]],
            beside=thumbnail(picture),
            beside_caption=f"“{public.class_names[label]}”",
        )
        for trade, label, picture in zip(shown, *guesses, strict=True)
    ]
    return Sheet(shots, len(scored.trades))


def thumbnail(picture: Pixels) -> str:
    """Return a picture as the data URI of a JPEG of at most `THUMBNAIL` pixels a side; tiny ones are enlarged.

    Parameters
    ----------
    picture : uint8 array of shape (height, width, 3)

    Examples
    --------
    >>> thumbnail(np.zeros((3000, 2000, 3), dtype=np.uint8))[:23]
    'data:image/jpeg;base64,'
    """
    step = max(1, max(picture.shape[:2]) // (4 * THUMBNAIL))
    image = Image.fromarray(np.ascontiguousarray(picture[::step, ::step]))
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    if max(image.size) < _SMALLEST:
        factor = THUMBNAIL // max(image.size)
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _affordable(pictures: Iterable[Pixels], most: int) -> Iterator[Pixels]:
    """Yield pictures, `most` at most and until their pixels add up to `SHEET_PIXELS`."""
    pixels = 0
    for picture in islice(pictures, most):
        yield picture
        pixels += picture.shape[0] * picture.shape[1]
        if pixels > SHEET_PIXELS:
            return


def _caption(world: World, trade: Trade) -> str:
    label = int(trade.held.labels[trade.image])
    name = world.class_names[label] if label >= 0 and world.class_names else ""
    price = coins(trade.offer.payment)
    return f"{name}\n{price}" if name else price
