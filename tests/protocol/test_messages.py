"""What holds for every kind of message, whoever adds one."""

from random import Random

import numpy as np
import pytest
from flwr.app import Array
from kinds import arrays, example, kinds

from protocol.encoding.canonical import canonical
from protocol.encoding.codec import UnreadableMessage, decode, encode
from protocol.messages.base import ArrayOf, ProtocolMessage
from protocol.messages.crowdsource import Contribution, TaskLabels
from protocol.messages.outsource import PART_BYTES, Enrolment
from protocol.messages.pool import PoisonedFeatures
from protocol.messages.publish import Gallery, Publication
from protocol.messages.secure_sum import Crowd, Round

ARRAYS = [(kind, name, array) for kind in kinds() for name, array in arrays(kind)]
MAY_BE_EMPTY = {
    ("Contribution", "values"), ("Contribution", "codes"), ("Contribution", "highest"), ("TaskLabels", "labels"),
    *((kind, "tags") for kind in ("MaskedValues", "Present")),
    ("Chosen", "places"), ("TakenShares", "refused"), ("ShownShares", "shares"), ("Neighbours", "advertisements"),
    *(("DealtShares", name) for name in ("sealed", "commitments")),
    *(("Inbox", name) for name in ("places", "advertisements", "sealed", "commitments")),
}  # fmt: skip
"""Arrays that have a row for each picture of an album, which may be empty, or for each of some clients of a sum."""


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.kind())
def test_every_kind_comes_back_as_it_was(kind: type[ProtocolMessage]) -> None:
    random = Random(kind.kind())
    for _ in range(20):
        message = example(kind, random)
        back = decode(encode(message), kind)
        assert canonical(back) == canonical(message)


def test_what_has_no_canonical_form_is_not_hashed_as_nothing() -> None:
    odd = Round.model_construct(training={"a": 1}, number=1)
    with pytest.raises(TypeError, match="a dict has no canonical form"):
        canonical(odd)


@pytest.mark.parametrize(("kind", "name", "array"), ARRAYS, ids=lambda value: str(getattr(value, "__name__", value)))
def test_no_array_has_an_axis_of_nothing(kind: type[ProtocolMessage], name: str, array: ArrayOf) -> None:
    whole = tuple(2 if extent is None else extent for extent in array.shape)
    assert array.admits(array.dtype, whole)
    for axis in range(len(whole)):
        shape = (*whole[:axis], 0, *whole[axis + 1 :])
        assert array.admits(array.dtype, shape) is (axis == 0 and (kind.kind(), name) in MAY_BE_EMPTY)


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3), (0, 0, 3)])
@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, name, array in ARRAYS if array.shape[2:] == (3,)])
def test_a_picture_without_pixels_is_refused(kind: type[ProtocolMessage], name: str, shape: tuple[int, ...]) -> None:
    random, places = Random(1), []
    while not places:  # where the field is optional, until it is there
        records = encode(example(kind, random))
        places = [path for path in records["arrays"] if path.startswith(name)]
    records["arrays"][places[0]] = Array(np.empty(shape, dtype=np.uint8))
    with pytest.raises(UnreadableMessage, match=rf"{name}.*1 or more x 1 or more x 3, .*got uint8 of shape \("):
        decode(records, kind)


def test_an_album_may_be_empty() -> None:
    empty = Contribution(publication=bytes(32), values=np.empty((0, 4, 2, 2), dtype=np.float32), unreadable=3)
    assert len(decode(encode(empty), Contribution)) == 0


def test_a_contribution_is_as_long_as_its_album_in_either_form() -> None:
    said = {"publication": bytes(32), "unreadable": 0}
    assert len(Contribution.model_validate({**said, "values": np.ones((3, 1, 1, 1), np.float32)})) == 3
    coded = {"codes": np.ones((3, 1, 1, 1), np.uint8), "highest": np.ones(3, np.float32)}
    assert len(Contribution.model_validate({**said, **coded})) == 3


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Crowd, {"you": 0, "clients": 3, "neighbours": 2, "threshold": 2, "root": bytes(32), "proof": bytes(32)}),
        (Crowd, {"you": 1, "clients": 3, "neighbours": 0, "threshold": 2, "root": bytes(32), "proof": bytes(32)}),
        (Crowd, {"you": 1, "clients": 3, "neighbours": 2, "threshold": 0, "root": bytes(32), "proof": bytes(32)}),
        (Crowd, {"you": 1, "clients": 3, "neighbours": 2, "threshold": 2, "root": bytes(32), "proof": b""}),
    ],
)
def test_sums_of_nobody_are_refused(kind: type[ProtocolMessage], fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"greater than 0|at least 32"):
        kind.model_validate({"round": Round(training="t", number=1), **fields})


VALUES, CODES = np.ones((2, 1, 1, 1), np.float32), np.ones((2, 1, 1, 1), np.uint8)
TWO, ONE = np.ones(2, np.float32), np.ones(1, np.float32)
PICTURES, LABELS = np.zeros((2, 8, 8, 3), np.uint8), np.zeros(2, np.int64)
SENT = {"publication": bytes(32), "unreadable": 0}
POOLED = {"pool": bytes(32), "featurizer": bytes(32), "features": np.zeros((2, 1, 1, 1), np.float32)}
TRAINED = {"classes": ("a", "b"), "architecture": "compact", "epochs": 1, "batch": 8, "mixtures": 9_000}


@pytest.mark.parametrize(
    ("kind", "fields", "why"),
    [
        (Contribution, SENT, "as values, or as codes"),
        (Contribution, {**SENT, "values": VALUES, "codes": CODES, "highest": TWO}, "as values, or as codes"),
        (Contribution, {**SENT, "values": VALUES, "highest": TWO}, "as values, or as codes"),
        (Contribution, {**SENT, "codes": CODES}, "as values, or as codes"),
        (Contribution, {**SENT, "codes": CODES, "highest": ONE}, "2 codes but 1 highest values"),
        (Contribution, {**SENT, "values": -VALUES}, "finite and not negative"),
        (Contribution, {**SENT, "values": VALUES * np.inf}, "finite and not negative"),
        (Contribution, {**SENT, "codes": CODES, "highest": TWO * np.nan}, "finite and not negative"),
        (Contribution, {**SENT, "codes": CODES, "highest": -TWO}, "finite and not negative"),
        (TaskLabels, {"publication": bytes(32), "labels": np.full((1, 1), 2, np.uint8)}, "labels are 0 or 1"),
        (PoisonedFeatures, {**POOLED, "labels": LABELS[:1]}, "2 features come with 1 labels"),
        (Publication, {"pictures": PICTURES, "labels": LABELS[:1]}, "2 pictures come with 1 labels"),
        (Publication, {"pictures": PICTURES, "labels": LABELS, "sealed": (b"x",)}, "2 pictures come with 1 sealed"),
        (Gallery, {"pictures": PICTURES, "labels": LABELS[:1], "method": "", "ask": 0}, "come with 1 labels"),
        (Enrolment, {**TRAINED, "side": 256, "part": PART_BYTES // (256 * 256 * 3) + 1}, "take more than"),
        (Enrolment, {**TRAINED, "side": 4096, "part": 2}, "take more than"),
    ],
)  # fmt: skip
def test_a_message_that_contradicts_itself_is_refused(
    kind: type[ProtocolMessage], fields: dict[str, object], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        kind.model_validate(fields)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Contribution, {**SENT, "values": 0 * VALUES}),
        (Contribution, {**SENT, "codes": CODES, "highest": 0 * TWO}),
        (TaskLabels, {"publication": bytes(32), "labels": np.array([[0, 1]], np.uint8)}),
        (PoisonedFeatures, {**POOLED, "labels": LABELS}),
        (Publication, {"pictures": PICTURES, "labels": LABELS}),
        (Publication, {"pictures": PICTURES, "labels": LABELS, "sealed": (b"x", b"y")}),
        (Enrolment, {**TRAINED, "side": 256, "part": PART_BYTES // (256 * 256 * 3)}),
        (Enrolment, {**TRAINED, "side": 4096, "part": 1}),  # a single picture may be larger
    ],
)
def test_a_message_at_the_edge_of_what_may_be_comes_back_as_it_was(
    kind: type[ProtocolMessage], fields: dict[str, object]
) -> None:
    message = kind.model_validate(fields)
    assert canonical(decode(encode(message), kind)) == canonical(message)
