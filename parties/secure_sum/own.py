"""What a client remembers of a sum that it takes part in; all of it is forgotten when the sum is over."""

from typing import Annotated

import numpy as np
from annotated_types import Gt
from numpy.typing import NDArray

from protocol.messages.base import ArrayOf, Digest, ProtocolMessage
from protocol.messages.secure_sum import MAX_CLIENTS, SHARE_BYTES, Bits, Place, Places, Round, ShownShares
from strategies.privacy.sum_graph import SumGraph

_Secrets = Annotated[NDArray[np.uint8], ArrayOf("uint8", (None, 32), 32 * MAX_CLIENTS, 0)]
_Keys = Annotated[NDArray[np.uint8], ArrayOf("uint8", (None, 96), 96 * MAX_CLIENTS, 0)]
_Shares = Annotated[NDArray[np.uint8], ArrayOf("uint8", (None, 2 * SHARE_BYTES), 2 * SHARE_BYTES * MAX_CLIENTS, 0)]
_Flags = Annotated[NDArray[np.bool_], ArrayOf("bool", (None,), MAX_CLIENTS, 0)]


class Begun(ProtocolMessage):
    """Which sum, and the secret from which all others of this sum derive."""

    round: Round
    fresh: Digest


class Met(ProtocolMessage):
    """The client's place, the graph, the hash of everything that all clients have to be told alike; who was drawn."""

    you: Place
    clients: Place
    neighbours: Place
    threshold: Annotated[int, Gt(0)]
    root: Digest
    crowd: Digest
    places: Places

    @property
    def graph(self) -> SumGraph:
        """The graph."""
        return SumGraph(self.clients, self.neighbours, self.threshold)


class Drawn(ProtocolMessage):
    """Of each neighbour that was drawn: both keys and its identity, what was agreed on, and the seed of their mask."""

    keys: _Keys
    agreed: _Secrets
    masks: _Secrets


class Taken(ProtocolMessage):
    """Of each client that has drawn this one: its place, the same, and its two shares; `good` where they opened."""

    places: Places
    agreed: _Secrets
    masks: _Secrets
    shares: _Shares
    good: _Flags


class Added(ProtocolMessage):
    """With whom the client has masked its values, how many have to be present, and a hash of the values."""

    dealt: Bits
    fewest: Annotated[int, Gt(0)]
    values: Digest


class Told(ProtocolMessage):
    """Who is present; `same` where a client that has drawn this one masked its values with the same others."""

    present: Bits
    same: _Flags


class Shown(ProtocolMessage):
    """What was answered last of a sum that is over: the cloud has it, so it is no secret any more."""

    round: Round
    answer: ShownShares
