"""Extractors as messages, signed by a collector."""

from collections.abc import Sequence

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from protocol.crypto.signing import SigningKey, verify
from protocol.encoding.canonical import canonical
from protocol.errors import ProtocolError
from protocol.messages.crowdsource import Publication, SignedPublication
from strategies.learning.weights import restore, weights
from strategies.pric.networks import EXTRACTORS, SCALE, new_extractor


def publish(
    extractor: nn.Module,
    key: SigningKey,
    *,
    number: int,
    architecture: str,
    side: int,
    hides: Sequence[str],
    quantised: bool,
) -> SignedPublication:
    """Sign an extractor; see `Publication`."""
    publication = Publication(
        number=number,
        architecture=architecture,
        side=side,
        hides=tuple(hides),
        weights=save(weights(extractor)),
        quantised=quantised,
    )
    return SignedPublication(publication=publication, signature=key.sign("publication", canonical(publication)))


def is_by(collector: bytes, signed: SignedPublication) -> bool:
    """Whether the holder of a public key has published this."""
    return verify(collector, "publication", canonical(signed.publication), signed.signature)


def extractor_of(publication: Publication) -> nn.Sequential:
    """Open an extractor, in evaluation mode.

    Raises:
        ProtocolError: When its architecture is not known here, or its weights do not fit.
    """
    if publication.architecture not in EXTRACTORS or publication.side % SCALE:
        raise ProtocolError(
            f"an extractor {publication.architecture!r} for pictures of {publication.side} pixels is not known here: "
            f"there are {', '.join(EXTRACTORS)}, for sides divisible by {SCALE}"
        )
    extractor = new_extractor(publication.architecture, torch.Generator())
    try:
        restore(extractor, load(publication.weights))
    except (SafetensorError, ValueError) as error:
        raise ProtocolError(f"the extractor's weights cannot be used: {error}") from None
    return extractor.eval().requires_grad_(False)
