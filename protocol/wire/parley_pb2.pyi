from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FromCloud(_message.Message):
    __slots__ = ("welcome", "question", "alive")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    ALIVE_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    question: Question
    alive: Alive
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., question: _Optional[_Union[Question, _Mapping]] = ..., alive: _Optional[_Union[Alive, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("run_id", "node_id", "nodes", "run_config")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    RUN_CONFIG_FIELD_NUMBER: _ClassVar[int]
    run_id: int
    node_id: int
    nodes: int
    run_config: Record
    def __init__(self, run_id: _Optional[int] = ..., node_id: _Optional[int] = ..., nodes: _Optional[int] = ..., run_config: _Optional[_Union[Record, _Mapping]] = ...) -> None: ...

class Question(_message.Message):
    __slots__ = ("id", "type", "group", "created_at", "ttl", "run_id", "content", "stored")
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: str
    group: str
    created_at: float
    ttl: float
    run_id: int
    content: bytes
    stored: Blob
    def __init__(self, id: _Optional[str] = ..., type: _Optional[str] = ..., group: _Optional[str] = ..., created_at: _Optional[float] = ..., ttl: _Optional[float] = ..., run_id: _Optional[int] = ..., content: _Optional[bytes] = ..., stored: _Optional[_Union[Blob, _Mapping]] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("question", "content", "stored", "failure", "alive")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    ALIVE_FIELD_NUMBER: _ClassVar[int]
    question: str
    content: bytes
    stored: Blob
    failure: Failure
    alive: Alive
    def __init__(self, question: _Optional[str] = ..., content: _Optional[bytes] = ..., stored: _Optional[_Union[Blob, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., alive: _Optional[_Union[Alive, _Mapping]] = ...) -> None: ...

class Alive(_message.Message):
    __slots__ = ("other",)
    OTHER_FIELD_NUMBER: _ClassVar[int]
    other: str
    def __init__(self, other: _Optional[str] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("code", "reason")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    code: int
    reason: str
    def __init__(self, code: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Blob(_message.Message):
    __slots__ = ("sha256", "length")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    sha256: bytes
    length: int
    def __init__(self, sha256: _Optional[bytes] = ..., length: _Optional[int] = ...) -> None: ...

class Upload(_message.Message):
    __slots__ = ("announced", "data")
    ANNOUNCED_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    announced: BlobOfQuestion
    data: bytes
    def __init__(self, announced: _Optional[_Union[BlobOfQuestion, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class BlobOfQuestion(_message.Message):
    __slots__ = ("question", "blob")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    question: str
    blob: Blob
    def __init__(self, question: _Optional[str] = ..., blob: _Optional[_Union[Blob, _Mapping]] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class Request(_message.Message):
    __slots__ = ("method", "content")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    method: str
    content: bytes
    def __init__(self, method: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...

class Response(_message.Message):
    __slots__ = ("content",)
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    def __init__(self, content: _Optional[bytes] = ...) -> None: ...

class Records(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[Record]
    def __init__(self, records: _Optional[_Iterable[_Union[Record, _Mapping]]] = ...) -> None: ...

class Record(_message.Message):
    __slots__ = ("name", "kind", "entries")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CONFIG: _ClassVar[Record.Kind]
        METRIC: _ClassVar[Record.Kind]
        ARRAY: _ClassVar[Record.Kind]
    CONFIG: Record.Kind
    METRIC: Record.Kind
    ARRAY: Record.Kind
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: Record.Kind
    entries: _containers.RepeatedCompositeFieldContainer[Entry]
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[Record.Kind, str]] = ..., entries: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ...) -> None: ...

class Entry(_message.Message):
    __slots__ = ("name", "flag", "integer", "real", "text", "bytes", "array", "flags", "integers", "reals", "texts", "byteses")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FLAG_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    REAL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    ARRAY_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    INTEGERS_FIELD_NUMBER: _ClassVar[int]
    REALS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    BYTESES_FIELD_NUMBER: _ClassVar[int]
    name: str
    flag: bool
    integer: int
    real: float
    text: str
    bytes: int
    array: Array
    flags: Flags
    integers: Integers
    reals: Reals
    texts: Texts
    byteses: Lengths
    def __init__(self, name: _Optional[str] = ..., flag: _Optional[bool] = ..., integer: _Optional[int] = ..., real: _Optional[float] = ..., text: _Optional[str] = ..., bytes: _Optional[int] = ..., array: _Optional[_Union[Array, _Mapping]] = ..., flags: _Optional[_Union[Flags, _Mapping]] = ..., integers: _Optional[_Union[Integers, _Mapping]] = ..., reals: _Optional[_Union[Reals, _Mapping]] = ..., texts: _Optional[_Union[Texts, _Mapping]] = ..., byteses: _Optional[_Union[Lengths, _Mapping]] = ...) -> None: ...

class Array(_message.Message):
    __slots__ = ("dtype", "shape", "stype", "length")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    STYPE_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    stype: str
    length: int
    def __init__(self, dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., stype: _Optional[str] = ..., length: _Optional[int] = ...) -> None: ...

class Flags(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, items: _Optional[_Iterable[bool]] = ...) -> None: ...

class Integers(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, items: _Optional[_Iterable[int]] = ...) -> None: ...

class Reals(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, items: _Optional[_Iterable[float]] = ...) -> None: ...

class Texts(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, items: _Optional[_Iterable[str]] = ...) -> None: ...

class Lengths(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, items: _Optional[_Iterable[int]] = ...) -> None: ...
