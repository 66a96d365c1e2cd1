"""Records come back from bytes as they were, and from nothing else."""

from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.records import UnreadableRecords, pack, unpack

NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
SCALARS = NUMBERS | st.booleans() | st.text(max_size=9) | st.binary(max_size=9)
LISTS = st.one_of(
    *(
        st.lists(kind, max_size=3)
        for kind in (st.integers(-9, 9), st.booleans(), st.text(max_size=3), st.binary(max_size=3))
    )
)
CONFIGS = st.dictionaries(st.text(max_size=5), SCALARS | LISTS, max_size=4).map(ConfigRecord)
METRICS = st.dictionaries(st.text(max_size=5), NUMBERS, max_size=4).map(MetricRecord)
CONTENTS = st.dictionaries(st.text(max_size=5), CONFIGS | METRICS, max_size=3).map(RecordDict)


@settings(max_examples=50)
@given(CONTENTS)
def test_records_come_back_as_they_were(content: RecordDict) -> None:
    back = unpack(pack(content))
    assert back == content
    assert [type(value) for record in back.values() for value in record.values()] == [
        type(value) for record in content.values() for value in record.values()
    ]


def test_arrays_come_back_as_they_were() -> None:
    arrays = {"a": Array(np.arange(6, dtype=np.uint8).reshape(2, 3)), "b": Array(np.zeros((0, 2)))}
    content = RecordDict({"arrays": ArrayRecord(arrays)})
    back = unpack(pack(content))
    assert back == content
    assert back["arrays"]["a"].numpy().tolist() == [[0, 1, 2], [3, 4, 5]]  # type: ignore[index,union-attr]


def test_large_values_can_be_kept_elsewhere() -> None:
    kept: dict[str, bytes] = {}

    def store(name: str, value: bytes) -> str | None:
        kept[name] = value
        return name if len(value) > 100 else None

    content = RecordDict({"fields": ConfigRecord({"blob": bytes(1000), "salt": b"small"})})
    packed = pack(content, store)
    assert len(packed) < 200
    assert unpack(packed, kept.__getitem__) == content
    with pytest.raises(UnreadableRecords, match="stored elsewhere"):
        unpack(packed)


PACKED = pack(RecordDict({"fields": ConfigRecord({"a": b"12345", "b": [1, 2], "c": "text"})}))


@pytest.mark.parametrize("cut", range(len(PACKED)))
def test_a_part_of_it_is_refused(cut: int) -> None:
    with pytest.raises(UnreadableRecords):
        unpack(PACKED[:cut])


@given(st.integers(0, len(PACKED) - 1), st.integers(1, 255))
def test_a_change_is_refused_or_reads_as_records(position: int, change: int) -> None:
    damaged = bytearray(PACKED)
    damaged[position] ^= change
    read(bytes(damaged))


@given(st.binary(max_size=60))
def test_anything_else_is_refused(data: bytes) -> None:
    read(data)
    read(PACKED[:8] + data)


def test_more_than_it_is_refused() -> None:
    with pytest.raises(UnreadableRecords, match="1 bytes are left over"):
        unpack(PACKED + b"\0")


def read(data: bytes) -> Any:
    try:
        return unpack(data)
    except UnreadableRecords:
        return None
