"""Flower records to bytes and back: whole, or not at all."""

from contextlib import suppress

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from protocol.encoding.codec import UnreadableMessage
from protocol.encoding.records import Unwritable, pack, pack_config, unpack, unpack_config
from protocol.grids.grpc.frames import MAX_STRUCTURE_BYTES, read_content, write_content
from protocol.wire import parley_pb2 as wire

names = st.text(max_size=20)
integers = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False)
scalars = st.booleans() | integers | floats | st.text() | st.binary()
lists = (
    st.lists(st.booleans(), min_size=1)
    | st.lists(integers)
    | st.lists(floats)
    | st.lists(st.text())
    | st.lists(st.binary(), min_size=1)
)
configs = st.dictionaries(names, scalars | lists).map(ConfigRecord)
metrics = st.dictionaries(names, integers | floats | st.lists(integers) | st.lists(floats)).map(MetricRecord)
dtypes = arrays.scalar_dtypes().filter(lambda dtype: dtype.kind in "biuf" and dtype.itemsize <= 8)
values = arrays.arrays(dtypes, arrays.array_shapes(min_dims=0, min_side=0))
array_records = st.dictionaries(names, values.map(lambda value: Array(np.ascontiguousarray(value)))).map(ArrayRecord)
contents = st.dictionaries(names, configs | metrics | array_records).map(RecordDict)


@settings(max_examples=50)
@given(contents)
def test_what_goes_out_comes_in_in_the_same_order(content: RecordDict) -> None:
    again = unpack(pack(content))
    assert again == content
    assert list(again) == list(content)
    for name, record in content.items():
        assert list(again[name]) == list(record)
        assert [type(value) for value in again[name].values()] == [type(value) for value in record.values()]


@settings(max_examples=30)
@given(contents, st.data())
def test_nothing_but_whole_messages_is_read(content: RecordDict, data: st.DataObject) -> None:
    whole = pack(content)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(UnreadableMessage):
        unpack(cut)
    with pytest.raises(UnreadableMessage, match="belong to no value"):
        unpack(whole + b"x")


@given(st.binary(max_size=300))
def test_noise_is_read_or_refused(noise: bytes) -> None:
    with suppress(UnreadableMessage):
        unpack(noise)


def frame(*records: wire.Record, data: bytes = b"") -> bytes:
    structure = wire.Records(records=records).SerializeToString()
    return len(structure).to_bytes(4, "big") + structure + data


def array(data: bytes, dtype: str = "float64", shape: tuple[int, ...] = (3,), length: int | None = None) -> bytes:
    claimed = len(data) if length is None else length
    described = wire.Array(dtype=dtype, shape=shape, stype="numpy.ndarray", length=claimed)
    entry = wire.Entry(name="a", array=described)
    return frame(wire.Record(name="arrays", kind=wire.Record.ARRAY, entries=[entry]), data=data)


def npy(header: str) -> bytes:
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


class TestHostile:
    @pytest.mark.parametrize(
        "content",
        [
            array(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999,), }"), shape=(9999999999,)),
            array(npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }") + bytes(8), "object", (1,)),
            array(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }") + bytes(24), "float32"),
            array(npy("{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }") + bytes(24), shape=(4,)),
            array(b"\x80\x04\x95pickle"),
            array(b"", length=2**40),
            frame(wire.Record(name="f", entries=[wire.Entry(name="b", bytes=2**60)])),
            frame(wire.Record(name="f", entries=[wire.Entry(name="b", byteses=wire.Lengths(items=[2**63, 2**63]))])),
            frame(wire.Record(name="f", entries=[wire.Entry(name="b")])),
            frame(wire.Record(name="f", entries=[wire.Entry(name="b", flag=True)] * 2)),
            frame(wire.Record(name="f"), wire.Record(name="f")),
            frame(wire.Record(name="f", kind=7)),
            frame(wire.Record(name="m", kind=wire.Record.METRIC, entries=[wire.Entry(name="b", text="x")])),
            (2**32 - 1).to_bytes(4, "big") + bytes(100),
        ],
    )
    def test_what_claims_more_or_other_than_it_brings_is_refused(self, content: bytes) -> None:
        with pytest.raises(UnreadableMessage):
            unpack(content)

    def test_what_cannot_be_read_is_not_sent(self) -> None:
        with pytest.raises(Unwritable, match="cannot be written"):
            pack(RecordDict({"f": ConfigRecord({"x": 2**64})}))
        with pytest.raises(Unwritable, match="names and numbers"):
            write_content(RecordDict({"f": ConfigRecord({"x": "y" * MAX_STRUCTURE_BYTES})}))
        with pytest.raises(Unwritable, match="over the limit"):
            write_content(RecordDict({"f": ConfigRecord({"x": bytes(256_000_000)})}))

    def test_what_is_too_much_for_a_wire_is_not_read(self) -> None:
        large = pack(RecordDict({"f": ConfigRecord({"x": "y" * MAX_STRUCTURE_BYTES})}))
        with pytest.raises(UnreadableMessage, match="too long"):
            read_content(large)
        assert len(unpack(large)["f"]["x"]) == MAX_STRUCTURE_BYTES  # type: ignore[arg-type,index]


def test_a_configuration_is_structure_alone() -> None:
    config = {"rounds": 3, "rate": 0.5, "name": "x", "fast": True}
    assert unpack_config(pack_config("run_config", dict(config))) == config
    with pytest.raises(Unwritable, match="holds bytes"):
        pack_config("run_config", {"key": b"x"})
