"""The messages of a pool (Deep Poisoning, section 3), in order.

Parties only reply, so each exchange is a question by the cloud, which keeps the pool, and an answer by an entity:

==========  ===========  ===================  ==================
step        asked        the cloud says       the entity answers
==========  ===========  ===================  ==================
introduce   everyone     `Hello`              `Introduction`
enrol       newcomers    `Rules`              `Enrolment`
pretrain    publisher    `PretrainingCall`    `Acknowledgement`
publish     publisher    `NetworkCall`        `SignedNetwork`
adopt       newcomers    `SignedNetwork`      `Acknowledgement`
poison      newcomers    `PoisoningCall`      `Poisoned`
contribute  newcomers    `ContributionCall`   `PoisonedFeatures`
draw        everyone     `PoisonedFeatures`   `Acknowledgement`
refine      everyone     `RefinementCall`     `Refined`
==========  ===========  ===================  ==================

Feature maps and weights may be large, so both come in parts, one message each.
"""

from enum import StrEnum
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le, Len, MaxLen
from numpy.typing import NDArray
from pydantic import Field, model_validator

from protocol.messages.base import ArrayOf, Digest, ProtocolMessage, PublicKey, Signature, Voucher

MAX_PART_BYTES = 240_000_000
"""The most bytes of one part: of a network's weights, or of an entity's feature maps."""
MAX_PARTS = 100_000

Name = Annotated[str, MaxLen(200)]
Share = Annotated[float, Ge(0), Le(1)]
Count = Annotated[int, Ge(0), Le(10**9)]
Part = Annotated[int, Ge(0), Le(MAX_PARTS - 1)]
Weights = Annotated[NDArray[np.float32], ArrayOf("float32", (None,), MAX_PART_BYTES)]
FeatureMaps = Annotated[NDArray[np.float32], ArrayOf("float32", (None, None, None, None), MAX_PART_BYTES)]
Labels = Annotated[NDArray[np.int64], ArrayOf("int64", (None,), MAX_PART_BYTES)]


class Role(StrEnum):
    """What a published network is for: phi_1, phi_2 and psi (sections 3.2 and 3.3)."""

    FEATURIZER = "featurizer"
    DECIDER = "decider"
    RECONSTRUCTOR = "reconstructor"


class Rules(ProtocolMessage):
    """The settings that all entities of a pool share.

    `architecture` names the network (`strategies.deep_poisoning.split.ARCHITECTURES`) and so where it is split,
    `reconstructor` the design of the published one; images are `side` pixels wide and high. Labels are places among the
    `names` of classes.
    """

    pool: Digest
    architecture: Name
    reconstructor: Name
    names: Annotated[tuple[Name, ...], Len(2, 100_000)]
    side: Annotated[int, Gt(10), Le(4096)]

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.names)


class Enrolment(ProtocolMessage):
    """An entity takes part with this many images."""

    samples: Count


class PretrainingCall(ProtocolMessage):
    """Step 1: train the network on your images, and a reconstructor on public ones."""

    pool: Digest


class NetworkCall(ProtocolMessage):
    """Publish one of your networks."""

    pool: Digest
    role: Annotated[Role, Field(strict=False)]


class Network(ProtocolMessage):
    """A published network: all weights and buffers in one row, in the order of their names."""

    pool: Digest
    role: Annotated[Role, Field(strict=False)]
    weights: Weights


class SignedNetwork(ProtocolMessage):
    """A network under its publisher's signature, and what shows whose key that is."""

    network: Network
    publisher: PublicKey
    signature: Signature
    voucher: Voucher | None = None


class PoisoningCall(ProtocolMessage):
    """Step 2: train your private Deep Poisoning Module, with the featurizer of this fingerprint."""

    pool: Digest
    featurizer: Digest


class Poisoned(ProtocolMessage):
    """The entity is ready to contribute `parts` parts.

    `clean` and `poisoned` are the published decider's accuracy on clean and on poisoned features of images that the
    entity has held back, if any.
    """

    parts: Annotated[int, Ge(0), Le(MAX_PARTS)]
    clean: Share | None = None
    poisoned: Share | None = None


class ContributionCall(ProtocolMessage):
    """Put one part of your poisoned features into the pool."""

    pool: Digest
    part: Part


class PoisonedFeatures(ProtocolMessage):
    """Poisoned feature maps (n, channels, h, w) with their labels (n,); `featurizer` is what computed them."""

    pool: Digest
    featurizer: Digest
    features: FeatureMaps
    labels: Labels

    @model_validator(mode="after")
    def _every_feature_has_a_label(self) -> "PoisonedFeatures":
        if len(self.features) != len(self.labels):
            raise ValueError(f"{len(self.features)} features come with {len(self.labels)} labels")
        return self


class RefinementCall(ProtocolMessage):
    """Step 3: refine your decider on your own clean features and on what you drew from the pool."""

    pool: Digest


class Refined(ProtocolMessage):
    """How accurate an entity's refined decider is.

    `used` of the pool's features were used, and `doubted` left out by the entity's own defence; `top1` and `top5` are
    accuracies on clean images that it has held back, if any.
    """

    used: Count
    doubted: Count
    top1: Share | None = None
    top5: Share | None = None
