import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, ConfigRecordValues, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from protocol.encoding.canonical import canonical, digest
from protocol.encoding.codec import UnreadableMessage, copy_records, decode, encode, encoded_size, read_array
from protocol.messages.base import Introduction, ProtocolMessage
from protocol.messages.purchase import (
    Bid,
    Bids,
    CallForBids,
    Privacy,
    PurchaseRequest,
    Quality,
    SignedBid,
    StatementLine,
    Terms,
)


def bid(**changes: object) -> Bid:
    fields = {
        "request_id": bytes(32),
        "buyer": bytes(32),
        "pseudonym": bytes(32),
        "image_commitment": bytes(32),
        "feature_commitment": bytes(32),
        "signature_points": ((1, 2), (3, 4)),
        "price": 100,
        "stake": 10,
        "expires_at": 5,
    }
    return Bid.model_validate(fields | changes)


TERMS = Terms(
    privacy=Privacy.LEVEL2,
    model_id="model",
    radius=4000,
    reach=300,
    signature_size=4,
    tolerance=8,
    suite="x25519",
    commission=50_000,
    stake=100_000,
    bond=100_000,
)
PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
EXAMPLES: list[ProtocolMessage] = [
    Introduction(role="seller", identity=bytes(range(32))),
    Bids(bids=(), unreadable=0),
    Bids(bids=(SignedBid(bid=bid(), signature=bytes(64)),) * 3, unreadable=2),
    Bids(bids=(SignedBid(bid=bid(signature_points=None, feature=(7, 65_535)), signature=bytes(64)),), unreadable=0),
    PurchaseRequest(
        samples=(PIXELS, PIXELS[::-1]),
        budget=0,
        quality=Quality.MATCHING,
        mechanism="chen-gravin-lu",
        ceiling=7,
        identity=bytes(32),
        nonce=bytes(16),
        terms=bytes(32),
    ),
    StatementLine(bid=bytes(32), outcome="accepted", amount=-5),
    CallForBids(
        request_id=bytes(32),
        cloud=bytes(32),
        buyer=bytes(32),
        terms=TERMS,
        mechanism="singer",
        samples=(PIXELS,),
        salt=bytes(16),
        tie_commitment=bytes(32),
        expires_at=3,
    ),
    bid(signature_points=None, feature=tuple(range(-500, 500))),
]


def records_of(message: ProtocolMessage) -> tuple[RecordDict, ConfigRecord, ArrayRecord]:
    records = encode(message)
    return records, records["fields"], records["arrays"]  # type: ignore[return-value]


class TestRoundTrip:
    @pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: message.kind())
    def test_a_message_comes_back_as_it_was(self, message: ProtocolMessage) -> None:
        back = decode(encode(message), type(message))
        assert canonical(back) == canonical(message)
        assert type(back) is type(message)

    @given(
        price=st.integers(1, 10**9),
        points=st.lists(st.tuples(st.integers(0, 65_535), st.integers(0, 65_535)), min_size=1, max_size=8),
        commitment=st.binary(min_size=32, max_size=32),
    )
    def test_any_bid_comes_back(self, price: int, points: list[tuple[int, int]], commitment: bytes) -> None:
        message = bid(price=price, signature_points=tuple(points), image_commitment=commitment)
        assert decode(encode(message), Bid) == message

    def test_arrays_are_read_only_on_arrival(self) -> None:
        request = decode(encode(EXAMPLES[4]), PurchaseRequest)
        with pytest.raises(ValueError, match="read-only"):
            request.samples[0][0, 0, 0] = 1

    def test_size_counts_the_content(self) -> None:
        big = Introduction(role="x" * 150, identity=bytes(32))
        assert encoded_size(encode(big)) - encoded_size(encode(Introduction(role="x", identity=bytes(32)))) == 149

    @pytest.mark.parametrize(
        ("value", "size"),
        [
            (7, 8), (-(2**60), 8), (0.5, 8), (True, 1), ("abc", 3), (b"abcd", 4), ([], 0), ([1, 2, 3], 24), ([0.5], 8),
            ([True, False], 2), (["a", "bcd"], 4), ([b"ab", b"c"], 3),
        ],
    )  # fmt: skip
    def test_numbers_count_eight_bytes_each_and_others_their_length(self, value: ConfigRecordValues, size: int) -> None:
        assert encoded_size(RecordDict({"fields": ConfigRecord({"name": value})})) == len("name") + size


class TestRefusals:
    """Whatever a peer sends, decoding answers with one sentence and allocates nothing on its word."""

    def test_another_message(self) -> None:
        with pytest.raises(UnreadableMessage, match="expected Introduction version 1, got Bids"):
            decode(encode(EXAMPLES[1]), Introduction)

    def test_another_version(self) -> None:
        records, _, _ = records_of(EXAMPLES[0])
        records["message"]["version"] = 2
        with pytest.raises(UnreadableMessage, match="version 2"):
            decode(records, Introduction)

    def test_no_message_at_all(self) -> None:
        with pytest.raises(UnreadableMessage, match="no message of this protocol"):
            decode(RecordDict({"weights": ArrayRecord()}), Introduction)

    def test_an_unknown_field(self) -> None:
        records, fields, _ = records_of(EXAMPLES[0])
        fields["colour"] = "red"
        with pytest.raises(UnreadableMessage, match="colour"):
            decode(records, Introduction)

    @pytest.mark.parametrize("price", [0, -1, 10**10, "100", 1.0, True, b"1"])
    def test_a_price_out_of_range_or_of_another_type(self, price: object) -> None:
        records, fields, _ = records_of(bid())
        fields["price"] = price  # type: ignore[assignment]
        with pytest.raises(UnreadableMessage, match="price"):
            decode(records, Bid)

    def test_neither_feature_nor_signature(self) -> None:
        records, fields, _ = records_of(bid())
        for name in list(fields):
            if name.startswith("signature_points"):
                del fields[name]
        with pytest.raises(UnreadableMessage, match="a bid gives either its feature or"):
            decode(records, Bid)

    def test_a_list_that_claims_more_than_it_brings(self) -> None:
        records, fields, _ = records_of(EXAMPLES[2])
        fields["bids/#"] = 2**40
        with pytest.raises(UnreadableMessage, match="claims 1099511627776 items but brings 3"):
            decode(records, Bids)

    def test_a_path_that_is_too_deep(self) -> None:
        records, fields, _ = records_of(EXAMPLES[0])
        fields["/".join("a" * 50)] = 1
        with pytest.raises(UnreadableMessage, match="nested"):
            decode(records, Introduction)

    def test_a_value_that_is_also_a_group(self) -> None:
        records, fields, _ = records_of(EXAMPLES[0])
        fields["role/x"] = 1
        with pytest.raises(UnreadableMessage, match="role"):
            decode(records, Introduction)

    @given(st.dictionaries(st.text(max_size=12), st.one_of(st.integers(), st.binary(max_size=40), st.text(max_size=9))))
    def test_garbage_is_refused_with_one_sentence(self, garbage: dict[str, object]) -> None:
        records, fields, _ = records_of(bid())
        for name, value in garbage.items():
            fields[f"x{name}"] = value  # type: ignore[assignment]
        if garbage:
            with pytest.raises(UnreadableMessage):
                decode(records, Bid)
        else:
            assert decode(records, Bid) == bid()


def array(header: bytes, body: bytes = b"") -> Array:
    padded = header.ljust(118 - 1 - 0) + b"\n"
    return Array(
        dtype="uint8",
        shape=(1,),
        stype="numpy.ndarray",
        data=b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + body,
    )


class TestArrays:
    @given(st.integers(0, 5), st.integers(0, 5), st.sampled_from(["u1", "<i8", "<f4", "?"]))
    def test_numbers_come_back(self, rows: int, columns: int, dtype: str) -> None:
        values = np.arange(rows * columns).reshape(rows, columns).astype(dtype)
        back = read_array(Array(values))
        np.testing.assert_array_equal(back, values)
        assert back.dtype == values.dtype

    @pytest.mark.parametrize(
        "header",
        [
            b"{'descr': '|u1', 'fortran_order': False, 'shape': (80000000000,), }",
            b"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }",
            b"{'descr': '|u1', 'fortran_order': False, 'shape': (0, 999999999999999999, 999999999999999999), }",
        ],
    )
    def test_a_header_is_not_believed(self, header: bytes) -> None:
        with pytest.raises(UnreadableMessage, match="claims"):
            read_array(array(header, b"12345"))

    @pytest.mark.parametrize("dtype", ["|O", "<U9", "<M8[s]", "<c16", "V4"])
    def test_only_numbers_are_read(self, dtype: str) -> None:
        header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': (0,), }}".encode()
        with pytest.raises(UnreadableMessage, match="not accepted"):
            read_array(array(header))

    @pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"\x80\x04K\x01.", b"\x93NUMPY\x01\x00\x05\x00abcd\n"])
    def test_what_is_no_array_is_refused(self, data: bytes) -> None:
        with pytest.raises(UnreadableMessage):
            read_array(Array(dtype="uint8", shape=(1,), stype="numpy.ndarray", data=data))

    def test_an_image_of_another_shape_is_refused(self) -> None:
        records, _, arrays = records_of(EXAMPLES[4])
        arrays["samples/0"] = Array(np.zeros((4, 4), dtype=np.uint8))
        with pytest.raises(UnreadableMessage, match="samples"):
            decode(records, PurchaseRequest)


class TestCopies:
    def test_a_change_of_the_copy_does_not_show(self) -> None:
        records = RecordDict({"fields": ConfigRecord({"values": [1, 2]})})
        copy = copy_records(records)
        copy["fields"]["values"].append(3)  # type: ignore[union-attr]
        copy["fields"]["new"] = 1
        assert dict(records["fields"]) == {"values": [1, 2]}


class TestCanonical:
    def test_every_field_matters(self) -> None:
        base = digest(bid())
        changes = (
            {"request_id": b"1" * 32},
            {"pseudonym": b"1" * 32},
            {"price": 101},
            {"expires_at": 6},
            {"signature_points": ((1, 2), (4, 3))},
            {"signature_points": None, "feature": (1, 2)},
            {"signature_points": None, "feature": (1, 2, 0)},
        )
        assert len({base, *(digest(bid(**change)) for change in changes)}) == len(changes) + 1

    def test_a_kind_is_part_of_what_is_hashed(self) -> None:
        class One(ProtocolMessage):
            value: int

        class Two(ProtocolMessage):
            value: int

        assert canonical(One(value=1)) != canonical(Two(value=1))

    def test_arrays_of_equal_bytes_and_other_shapes_differ(self) -> None:
        first = EXAMPLES[4].model_copy(update={"samples": (np.zeros((2, 3, 3), np.uint8),)})
        second = EXAMPLES[4].model_copy(update={"samples": (np.zeros((3, 2, 3), np.uint8),)})
        assert digest(first) != digest(second)
