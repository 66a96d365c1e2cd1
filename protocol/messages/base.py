"""The base of all messages: frozen, strict, bounded, versioned."""

from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Gt, Le, Len, MaxLen
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

MAX_ITEMS = 100_000
"""The most items any list in a message may hold."""


class ArrayOf:
    """The dtype and shape an array field must have.

    Args:
        dtype: NumPy's name of the dtype; anything else is refused, never cast.
        shape: The exact extent of each axis, None where it is free.
        max_bytes: The most bytes the array may hold.
        least: The least extent of the first axis where it is free, such as how many pictures there are; every other
            free axis has at least 1.
    """

    def __init__(self, dtype: str, shape: tuple[int | None, ...], max_bytes: int, least: int = 1) -> None:
        self.dtype = np.dtype(dtype)
        self.shape = shape
        self.max_bytes = max_bytes
        self._least = (least, *[1] * (len(shape) - 1))

    def admits(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bool:
        """Whether an array of this dtype and shape is allowed; needs only its header."""
        size = dtype.itemsize
        for extent in shape:
            size *= extent
        return (
            dtype == self.dtype
            and len(shape) == len(self.shape)
            and all(
                have >= least if want is None else have == want
                for want, least, have in zip(self.shape, self._least, shape, strict=True)
            )
            and size <= self.max_bytes
        )

    def __str__(self) -> str:
        extents = " x ".join(
            f"{least} or more" if extent is None else str(extent)
            for extent, least in zip(self.shape, self._least, strict=True)
        )
        return f"{self.dtype} of shape {extents}, at most {self.max_bytes} bytes"

    def check(self, value: Any) -> NDArray[Any]:
        """Return a read-only view of an array that fits, raise ValueError otherwise."""
        if not isinstance(value, np.ndarray):
            raise ValueError(f"expected an array ({self}), got {type(value).__name__}")
        if not self.admits(value.dtype, value.shape):
            raise ValueError(f"expected {self}, got {value.dtype} of shape {value.shape}")
        view = value.view()
        view.flags.writeable = False
        return view

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check, metadata={"array": self})


MAX_PIXELS = 25_000_000
"""The largest picture that may be traded: 25 megapixels."""

Salt = Annotated[bytes, Len(16, 16)]
Digest = Annotated[bytes, Len(32, 32)]
PublicKey = Annotated[bytes, Len(32, 32)]
Signature = Annotated[bytes, Len(64, 64)]
Image = Annotated[NDArray[np.uint8], ArrayOf("uint8", (None, None, 3), 3 * MAX_PIXELS)]


class ProtocolMessage(BaseModel):
    """A message, or a part of one.

    Validation is strict (no coercion, no unknown field, no NaN or infinity) and runs again on
    what arrives from a peer. `version` is checked on decoding: raise it with any change of
    fields. Fields named in `later` were added since: at their defaults a message's canonical bytes are as without them,
    so that its hash and its signature are those of before.
    """

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True
    )

    version: ClassVar[int] = 1
    later: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def kind(cls) -> str:
        """The message's name on the wire."""
        return cls.__name__


class BlobReference(ProtocolMessage):
    """A blob that is not in the message, but in the cloud's vault under its SHA-256.

    A grid that streams puts one in the place of a large `bytes` in a field called ``blob``, on its way to
    the cloud, and the bytes back in its place on the way to a party.
    """

    digest: Digest
    length: Annotated[int, Gt(0)]

    def __len__(self) -> int:
        return self.length


Name = Annotated[str, MaxLen(200)]


class LedgerHead(ProtocolMessage):
    """How far a party's privacy ledger has come: its last entry's number and hash, signed by the party's identity."""

    count: Annotated[int, Gt(0), Le(2**62)]
    head: Digest
    signature: Signature


class Hello(ProtocolMessage):
    """The cloud asks who is there, and tells a party the latest head of its ledger that it has been told."""

    ledger: LedgerHead | None = None


class Introduction(ProtocolMessage):
    """A party's role, the key that verifies its signatures, and the head of its privacy ledger if it has one."""

    role: Name
    identity: PublicKey
    ledger: LedgerHead | None = None


class Acknowledgement(ProtocolMessage):
    """Acknowledges a message."""


class Voucher(ProtocolMessage):
    """Says whose a signing key is: its owner's certificate (PEM), and the signature of that over the key."""

    certificate: Annotated[bytes, Len(1, 8192)]
    signature: Annotated[bytes, Len(1, 100)]
