"""Sellers with malformed messages."""

import io

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message
from flwr.clientapp.typing import ClientAppCallable

from parties.adversaries.adversary import adversary
from protocol.encoding.codec import RECORDS

_, _FIELDS, _ARRAYS = RECORDS


@adversary(
    "malformed-messages",
    role="seller",
    knowledge="nothing beyond its role",
    profit="none; it crashes a cloud that does not check messages",
)
def malformed_messages(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Sends NaN as each of its prices."""
    reply = call_next(message, context)
    if message.metadata.message_type == "query.bid":
        fields = reply.content.config_records[_FIELDS]
        for name in [name for name in fields if name.endswith("/price")]:
            fields[name] = float("nan")
    return reply


@adversary(
    "oversized-messages",
    role="seller",
    knowledge="nothing beyond its role",
    profit="none; it exhausts a cloud that allocates what a header claims",
)
def oversized_messages(
    message: Message, context: Context, call_next: ClientAppCallable, *, claimed: int = 300_000_000
) -> Message:
    """Sends a hundred bytes that claim to be an array of 300 MB."""
    reply = call_next(message, context)
    if message.metadata.message_type == "query.bid":
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (claimed,)})
        array = Array(dtype="uint8", shape=(claimed,), stype="numpy.ndarray", data=header.getvalue())
        reply.content[_ARRAYS] = ArrayRecord({"bids": array})
    return reply
