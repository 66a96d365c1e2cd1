"""A deployed purchase, played again in this process from the parties' own secrets and folders."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from deployment import Deployment

from deploy.buyer import RequestingBuyer, Wanted
from deploy.cloud import cloud_of
from deploy.kit import CloudFile, read_kit
from deploy.prices import priced
from parties.album import read_folder
from parties.featurizers import Model
from parties.purchase.seller import Seller
from parties.purchase.workflow import Purchase
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID
from protocol.grids import LocalGrid
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault

Bought = dict[str, tuple[str, float]]
"""Of each picture's file the hash and what was paid."""


def bought(folder: Path) -> Bought:
    """What a receipt and the files beside it say."""
    receipt = json.loads((folder / "receipt.json").read_text())
    return {
        picture["file"]: (hashlib.sha256((folder / picture["file"]).read_bytes()).hexdigest(), picture["paid"])
        for picture in receipt["pictures"]
    }


def play_again(deployment: Deployment, wanted: Wanted, prices: dict[str, float], out: Path, twin: Path) -> Bought:
    """Play the purchase of a receipt over a LocalGrid; the buyer is the roster's first, the sellers follow in order."""
    wish = json.loads((out / "receipt.json").read_text())["purchase"]
    kit = read_kit(deployment.kit / "cloud", ["cloud"])
    assert isinstance(kit.party, CloudFile)
    cloud = cloud_of(kit, kit.party, Ledger())
    vault = Vault(str(deployment.folder / "vault of the twin"))
    cloud = replace(cloud, purchase=f"{FIRST_NODE_ID}-{wish}", vault=vault)
    twin.mkdir()
    buyer = RequestingBuyer(read_kit(deployment.kit / "buyer1", ["buyer"]), wish, wanted, twin)
    sellers = []
    for name, price in prices.items():
        folder = deployment.folder / "albums" / name
        album = priced(read_folder(folder), folder, price)
        secret = read_kit(deployment.kit / name, ["seller"]).secret()
        sellers.append(Seller(secret, album, album.costs, Model().load()))
    with LocalGrid([buyer.client_app(), *(seller.client_app() for seller in sellers)]) as grid:
        Purchase(cloud, Exchange(grid, cloud.clock)).run()
    return bought(twin)
