"""The terms of trade, from a scenario or a deployed cloud's settings."""

from typing import Annotated, Literal

from annotated_types import Ge, Le
from pydantic import Field

from protocol.crypto.sealing import SUITES
from protocol.messages.purchase import Privacy, Terms
from protocol.settings import Section, Share
from strategies.features.featurizer import Featurizer

Coins = Annotated[float, Ge(0), Le(10**7)]


COIN = 100
"""Minor units per coin."""


class CloudSection(Section):
    """The cloud's terms."""

    privacy: Privacy = Field(
        Privacy.LEVEL2,
        description="what bids show: basic: fc8 vectors; level1: 2-d features; level2: MinHash signatures",
    )
    featurizer: Literal["small", "vgg16"] = Field("small", description="the public model: small, or the paper's vgg16")
    weights: str | None = Field(None, description="vgg16's weights, .pth or .safetensors; none: torchvision's cache")
    calibration: str | None = Field(None, description="a folder that `parley calibrate` wrote; vgg16 needs one")
    commission: Share = Field(0.05, description="the cloud's share on top of each payment")
    stake: Share = Field(
        0.0,
        description="what a bid locks beside least_stake's minimum, as a share of its price; above 0, sellers whose"
        " deposit is short gain by asking less than their cost",
    )
    least_stake: Annotated[float, Ge(0), Le(10**6)] = Field(
        0.1, description="coins that a bid locks at least, whatever its price; lost by a seller who cheats"
    )
    most_bids: Annotated[int, Ge(1), Le(100_000)] = Field(1000, description="bids of one seller on a request, at most")
    bond: Share = Field(0.1, description="what a complaint locks, as a share of the payment; lost if it is false")
    deposit: Share = Field(
        0.05, description="share of its budget that a buyer who does not pay its invoice loses to the winners"
    )
    suite: Literal[tuple(SUITES)] = Field(  # type: ignore[valid-type]
        "x25519", description=f"how images are sealed: {' or '.join(SUITES)}"
    )
    friends: Share = Field(0.1, description="for collusion cloud-sellers: share of the sellers whom the cloud favours")
    arbitration: Literal["sound", "paper"] = Field(
        "sound", description="who is believed in a dispute: sound: the revealed key; paper: the image the buyer sends"
    )


def terms_of(section: CloudSection, featurizer: Featurizer) -> Terms:
    """Return the terms under these settings, with the featurizer's calibration."""
    calibration = featurizer.calibration
    basic = section.privacy is Privacy.BASIC
    return Terms(
        privacy=section.privacy,
        model_id=featurizer.model_id,
        radius=calibration.vector_radius if basic else calibration.radius,
        reach=calibration.reach,
        signature_size=calibration.signature_size,
        tolerance=calibration.vector_tolerance if basic else calibration.tolerance,
        suite=section.suite,
        commission=round(section.commission * 1_000_000),
        stake=round(section.stake * 1_000_000),
        bond=round(section.bond * 1_000_000),
        deposit=round(section.deposit * 1_000_000),
        least_stake=round(section.least_stake * COIN),
        most_bids=section.most_bids,
        arbitration=section.arbitration,
    )
