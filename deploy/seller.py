"""A seller's process: an album in a folder, attached to the cloud until it is stopped."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, MaxLen

from deploy.cheats import cheating
from deploy.kit import Kit
from deploy.party import log, stay_attached
from deploy.prices import PRICES, PricedAlbum, priced
from parties.album import FolderImages, Pixels, UnreadableImage, read_folder
from parties.featurizers import Model
from parties.party import step
from parties.picture_file import UnusableFile, pixels
from parties.purchase.seller import OpenBids, Seller
from protocol.crypto.commitments import commit_image
from protocol.crypto.sealing import Opening
from protocol.encoding.canonical import digest
from protocol.errors import BadInput, ProtocolError
from protocol.messages.base import MAX_ITEMS, ProtocolMessage
from protocol.messages.purchase import Bids, CallForBids, Delivery, DeliveryOrder, Order, Refusal
from protocol.storage.user_files import printable
from strategies.features.featurizer import Featurizer


class OfferedFile(ProtocolMessage):
    """The file of a picture on offer: its position in the album as it was then, and its path in bytes."""

    image: Annotated[int, Ge(0)]
    path: Annotated[bytes, MaxLen(1 << 16)]


class OfferedFiles(ProtocolMessage):
    """The files of all bids of one request."""

    files: Annotated[tuple[OfferedFile, ...], MaxLen(MAX_ITEMS)]


class FolderSeller(Seller):
    """Sells the pictures of a folder, which may come and go: it is read again at each request.

    Args:
        secret: See `Party`.
        pictures: What is in the folder now.
        price: Coins for each picture that its list does not name; None: those are not for sale.

    Raises:
        BadInput: When the prices cannot be used.
    """

    def __init__(self, secret: bytes, pictures: FolderImages, price: float | None, featurizer: Featurizer) -> None:
        self._folder, self._price = pictures.folder, price
        self._pictures, self._offered = pictures, priced(pictures, pictures.folder, price)
        if len(self._offered) == 0:
            raise BadInput(
                f"{printable(self._folder)} holds {len(pictures)} pictures, but {PRICES} has no price for any of them"
            )
        super().__init__(secret, self._offered, self._offered.costs, featurizer)
        self._log("album opened", self._offered, pictures)

    @step("bid")
    def bid(self, call: CallForBids) -> Bids:
        """Steps 3 and 4: bid on what is in the folder now, and remember which files these are."""
        album = self._read_again()
        try:
            bids = super().bid(call)
        except UnreadableImage:
            raise ProtocolError("the album changed while it was read") from None
        name = call.request_id.hex()
        offered = self.memory.recall(f"bids-{name}", OpenBids).bids
        files = tuple(OfferedFile(image=bid.image, path=os.fsencode(album.files[bid.image])) for bid in offered)
        self.memory.keep(f"files-{name}", OfferedFiles(files=files))
        return bids

    @step("deliver")
    def deliver(self, asked: DeliveryOrder) -> Delivery | Refusal:
        """Steps 8 and 9: deliver the file that was offered, if it still shows the same picture."""
        name = asked.order.order.request_id.hex()
        if self.memory.keeps(f"files-{name}"):
            files = self.memory.recall(f"files-{name}", OfferedFiles).files
            self.album = Offered({file.image: Path(os.fsdecode(file.path)) for file in files})
        try:
            return super().deliver(asked)
        except UnreadableImage as gone:
            log("cannot be delivered", why=str(gone))
            raise ProtocolError("the picture that was offered is gone") from None

    def seal(self, opening: Opening, order: Order, release: bytes) -> bytes:
        """Seal a picture, unless another one has taken its place since it was offered."""
        bids = self.memory.recall(f"bids-{order.request_id.hex()}", OpenBids).bids
        bid = next(open_bid.bid.bid for open_bid in bids if digest(open_bid.bid) == order.bid)
        if commit_image(opening.image_salt, opening.image) != bid.image_commitment:
            raise ProtocolError("the picture that was offered has been replaced by another")
        return super().seal(opening, order, release)

    def _read_again(self) -> PricedAlbum:
        """Read the folder; while it or its list cannot be read, what was read before is what there is."""
        try:
            pictures = read_folder(self._folder, self._pictures, (PRICES,))
            album = priced(pictures, self._folder, self._price, changing=True)
        except (BadInput, OSError) as error:
            log("album as before", why=str(error))
        else:
            if (album.files, album.costs) != (self._offered.files, self._offered.costs):
                self._log("album changed", album, pictures)
            self._pictures, self._offered = pictures, album
        self.album, self.costs = self._offered, self._offered.costs
        return self._offered

    def _log(self, event: str, album: PricedAlbum, pictures: FolderImages) -> None:
        log(event, pictures=len(album), unpriced=album.unpriced, skipped=len(pictures.left_out))


class Offered:
    """The files that were offered in one request, as an album: by the positions that they had then."""

    def __init__(self, files: Mapping[int, Path]) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, image: int) -> Pixels:
        try:
            return pixels(self._files[image])
        except UnusableFile as unusable:
            raise UnreadableImage(f"{printable(self._files[image])}: {unusable}") from unusable


def sell(kit: Kit, folder: Path, price: float | None, model: Model, cheat: type[Any] | None = None) -> None:
    """Offer the pictures of a folder until the process is stopped.

    Args:
        kit: The seller's.
        folder: The album; a ``prices.csv`` in it has the prices of single pictures.
        price: Coins for each of the others; None: they are not for sale.
        model: The cloud's public model.
        cheat: A seller that cheats, in the place of an honest one.

    Raises:
        BadInput: When the album, its prices or the model cannot be used.
        Unreachable: When the cloud cannot be reached for a long time, or refuses this party.
    """
    pictures = read_folder(folder, besides=(PRICES,))
    stay_attached(kit, cheating(FolderSeller, cheat)(kit.secret(), pictures, price, model.load()))
