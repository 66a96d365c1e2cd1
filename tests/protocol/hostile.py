"""Answers as an enemy would write them: good messages, damaged in their values, arrays, structure or bytes."""

import struct
from random import Random
from typing import Any

from flwr.app import Array, ConfigRecord, RecordDict

from protocol.encoding.codec import encode
from protocol.encoding.records import Unwritable, pack
from protocol.messages.base import ProtocolMessage
from protocol.wire import parley_pb2 as wire

HEADERS = [
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), ",
    b"(" * 200,
    b"[" * 900 + b"]" * 40,
    b"{" * 99,
    b"-" * 900 + b"1",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"9" * 4400 + b",), }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (1e400,), }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (True,), }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 99999999999999999, 99999999999999999), }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"1, " * 90 + b"), }",
    b"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }",
    b"{'descr': ('<f4', (1000000000,)), 'fortran_order': False, 'shape': (), }",
    b"{'descr': [('a', '<f4'), ('b', '|O')], 'fortran_order': False, 'shape': (1,), }",
    b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
    b"{'descr': '<U999999999', 'fortran_order': False, 'shape': (0,), }",
    b"{'descr': '<M8[as]', 'fortran_order': False, 'shape': (0,), }",
    b"{'descr': 'f4,(2,)f8', 'fortran_order': False, 'shape': (0,), }",
    b"__import__('os').abort()",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (٣,), }".encode(),
    b"'''" + b"a" * 50,
    b"\\\n\\",
    b"0xz",
    b"\xff\xfe\x00",
    b"\x0c\x0c \t1\n  2\n 3",
    b"",
]
"""What has made parsers of Python's own literals raise nearly everything that they can."""
VALUES: list[Any] = [
    *(True, False, 0, -1, 1, 2**63 - 1, -(2**63), 0.0, float("nan"), float("inf"), 3e38),
    *("", "\0", "1", "\x1b[2J", b"", b"\0" * 40, [], [1], [0.5], ["a"], [b"a"], [True], [1] * 5000),
]


def answer_frame(message: ProtocolMessage, random: Random) -> bytes:
    """Return the frame of an answer that was this message, damaged somewhere."""
    records = encode(message)
    try:
        for _ in range(random.randint(0, 3)):
            damage_records(records, random)
        content = pack(records)
    except Unwritable:
        content = pack(encode(message))
    if random.random() < 0.5:
        content = _structure_damaged(content, random)
    if random.random() < 0.2:
        content = _bytes_damaged(content, random)
    frame = wire.Answer(question="q", content=content).SerializeToString()
    return _bytes_damaged(frame, random) if random.random() < 0.1 else frame


def damage_records(records: RecordDict, random: Random) -> None:
    """Change one thing in a message's records."""
    header, fields, arrays = records["message"], records["fields"], records["arrays"]
    assert isinstance(fields, ConfigRecord)
    paths = list(fields)
    path = random.choice(paths) if paths else "x"
    match random.randrange(9):
        case 0:
            header["version"] = random.choice([True, 1.0, "1", 2, 0, -1, [1]])
        case 1:
            header["kind"] = random.choice(["Introduction", "", "\0", 1, "x" * 500])
        case 2:
            fields.pop(path, None)
        case 3:
            fields[path] = random.choice(VALUES)
        case 4:
            fields[random.choice([f"{path}/x", "/".join("a" * 30), "", "/", "#", "x" * 5000, "0", f"{path}#"])] = 1
        case 5:
            counts = [each for each in paths if each.endswith("#")]
            if counts:
                fields[random.choice(counts)] = random.choice([True, -1, 0, 2, 2**40, 1.0, "2", [2]])
        case 6:
            for number in range(random.randint(1, 300)):
                fields[f"a/b/c/{number}/{number}/e/{number}"] = number
        case _ if arrays:
            place = random.choice(list(arrays))
            arrays[place] = _array_damaged(arrays[place], random)
        case _:
            fields[f"{path}/{random.randrange(3)}"] = random.choice(VALUES)


def _array_damaged(array: Array, random: Random) -> Array:
    data = array.data
    match random.randrange(5):
        case 0:
            text = random.choice(HEADERS)
            header = text.ljust(random.choice([1, 118])) + b"\n"
            magic = random.choice([b"\x93NUMPY\x01\x00"] * 3 + [b"\x93NUMPY\x02\x00", b"\x93NUMPY\x03\x00\0\0"])
            data = magic + struct.pack("<H", len(header)) + header + data[128:]
        case 1:
            data = _bytes_damaged(data[:128], random) + data[128:]
        case 2:
            data = data[: random.randrange(len(data) + 1)]
        case 3:
            data += random.randbytes(random.randint(1, 9))
        case 4:
            data = data[:8] + random.randbytes(2) + data[10:]
    shape = array.shape if random.random() < 0.8 else (random.choice([0, 1, 2**40, 2**63]),) * random.randint(0, 70)
    return Array(random.choice([array.dtype] * 4 + ["object", ""]), shape, array.stype, data)


def _structure_damaged(content: bytes, random: Random) -> bytes:
    """Change one thing in what says where each value is."""
    (length,) = struct.unpack_from(">I", content)
    structure, data = wire.Records.FromString(content[4 : 4 + length]), content[4 + length :]
    record = random.choice(structure.records)
    match random.randrange(8):
        case 0 if record.entries:
            entry = random.choice(record.entries)
            entry.bytes = random.choice([0, 1, 2**20, 2**40, 2**64 - 1])
        case 1 if record.entries:
            random.choice(record.entries).array.length = random.choice([0, 1, 2**40, 2**64 - 1])
        case 2 if record.entries:
            random.choice(record.entries).byteses.items.extend([0] * random.randint(1, 999) + [2**63])
        case 3 if record.entries:
            record.entries.add().CopyFrom(random.choice(record.entries))
        case 4:
            structure.records.add().CopyFrom(record)
        case 5:
            record.kind = random.randrange(3)
        case 6:
            record.name = random.choice(["", "message", "\0", "x" * 999])
        case _:
            structure.records.add(name="more").entries.add(name="nothing")
    packed = structure.SerializeToString()
    claimed = len(packed) if random.random() < 0.9 else random.choice([0, 1, 2**31, 2**32 - 1])
    return struct.pack(">I", claimed) + packed + data


def _bytes_damaged(data: bytes, random: Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(damaged) + 1)
        match random.randrange(3):
            case 0 if place < len(damaged):
                damaged[place] ^= 1 << random.randrange(8)
            case 1:
                del damaged[place : place + random.randint(1, 9)]
            case _:
                damaged[place:place] = random.randbytes(random.randint(1, 9))
    return bytes(damaged)
