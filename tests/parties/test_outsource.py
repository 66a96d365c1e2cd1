"""Outsourced training: what crosses, what stays, and what becomes of owners that do not do as they said."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from flwr.app import RecordDict
from flwr.clientapp import ClientApp

from parties.outsource.mixtures import Assignment, Region
from parties.outsource.owner import Appraisal, Owner
from parties.outsource.service import TrainingService
from parties.outsource.workflow import Outsource, OutsourceRecord
from parties.party import Memory
from parties.workflow import WorkflowFailed
from protocol.compute.workshop import LocalWorkshop
from protocol.encoding.codec import UnreadableMessage, decode, encode
from protocol.errors import ProtocolError
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID
from protocol.grids import LocalGrid, ObservedGrid
from protocol.messages.outsource import Enquiry, Enrolment, NextPart, Part, TrainedModel
from simulations.data import pets
from strategies.obfuscation import Obfuscation
from strategies.scores.privacy_scores import mse

NOISE = Assignment(("cat", "dog"), Obfuscation("noise-mix"), side=32, epochs=4, batch=16)


def owner(images: int = 64, assignment: Assignment = NOISE, number: int = 1, kind: type[Owner] = Owner) -> Owner:
    """Siamese cats and Rottweilers, half and half."""
    labels, tests = np.arange(images) % 2, np.arange(60) % 2
    album, fresh = (
        list(pets.draw(np.where(shown == 0, 0, 19), 40, torch.Generator().manual_seed(seed)))
        for shown, seed in ((labels, number), (tests, 99))
    )
    return kind(bytes([number] * 32), album, labels, assignment, fresh, tests)


def train(*owners: Owner | ClientApp) -> tuple[OutsourceRecord, LocalGrid, list[Part]]:
    """Play the workflow; return what the service knows, the grid, and the parts that it received."""
    apps = [each.client_app() if isinstance(each, Owner) else each for each in owners]
    seen: list[Part] = []
    with LocalGrid(apps) as grid, LocalWorkshop() as workshop:
        service = TrainingService(bytes(32), workshop)
        observed = ObservedGrid(
            grid, lambda envelope: seen.append(decode(envelope.content, Part)) if envelope.kind == "Part" else None
        )
        return Outsource(service, Exchange(observed)).run(), grid, seen


def accuracy(grid: LocalGrid, node: int = FIRST_NODE_ID) -> float:
    appraisal = Memory(grid.state(node)).recall("appraisal", Appraisal)
    return appraisal.correct / appraisal.tested


def test_the_owner_gets_a_model_that_knows_clean_images() -> None:
    record, grid, seen = train(owner(192, replace(NOISE, epochs=8, repeat=True)))
    assert accuracy(grid) > 0.85
    assert len(record.losses) == 8
    assert record.losses[-1] < record.losses[0]
    assert record.pictures == 8 * 192 == sum(len(part.pictures) for part in seen)
    assert not record.failures


def test_nothing_that_crosses_is_an_image_as_it_is() -> None:
    its = owner()
    _, _, seen = train(its)
    published = torch.from_numpy(np.concatenate([part.pictures for part in seen])).permute(0, 3, 1, 2)
    for image in its.mixtures.opened(range(8)):
        original = torch.from_numpy(image).permute(2, 0, 1)
        assert mse(original.expand_as(published), published).min() > 100


def test_every_epoch_is_drawn_afresh_and_a_part_asked_for_again_is_the_same() -> None:
    its = owner()
    first, again, other = (its.publish(NextPart(epoch=epoch, number=0)) for epoch in (0, 0, 1))
    assert np.array_equal(first.pictures, again.pictures)
    assert not np.array_equal(its.mixtures.groups(0), its.mixtures.groups(1))
    assert np.abs(first.pictures.astype(int) - other.pictures).mean() > 10
    assert its.mixtures.groups(0).flatten().unique().shape == (64,)


def test_what_differs_between_two_assignments_is_no_way_around_their_noise() -> None:
    """Twice the one at sigma 20 less the other at sigma 40 would be the mixture, were it the same noise."""
    alone = Obfuscation("noise-mix", weights=(1.0,), strength=20)
    its = [owner(assignment=replace(NOISE, obfuscation=replace(alone, strength=sigma))) for sigma in (20, 40)]
    published = [each.publish(NextPart(epoch=0, number=0)).pictures.astype(float) for each in its]
    shown = [each.mixtures.opened(each.mixtures.groups(0)[:, 0].tolist()) for each in its]
    assert not np.array_equal(*shown)
    inside = (np.minimum(*shown) > 100) & (np.maximum(*shown) < 155)  # where nothing is cut off at 0 or 255
    noises = [(pictures - images)[inside] for pictures, images in zip(published, shown, strict=True)]
    assert [noise.std() for noise in noises] == pytest.approx([20, 40], rel=0.1)
    assert abs(np.corrcoef(*noises)[0, 1]) < 5 / inside.sum() ** 0.5


def test_large_sets_travel_in_bounded_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parties.outsource.mixtures.PART_BYTES", 10 * 32 * 32 * 3)
    its = owner()
    whole, _, seen = train(its)
    assert [len(part.pictures) for part in seen[:4]] == [10, 10, 10, 2]
    assert whole.pictures == 4 * 32
    with pytest.raises(ProtocolError, match="no part 4 of epoch 0"):
        its.publish(NextPart(epoch=0, number=4))
    with pytest.raises(ProtocolError, match="no part 0 of epoch 4"):
        its.publish(NextPart(epoch=4, number=0))


def test_owners_share_one_model() -> None:
    alone, _, _ = train(owner(32))
    record, grid, seen = train(owner(32, number=1), owner(48, number=2), owner(16, number=3))
    assert list(record.enrolments) == [FIRST_NODE_ID, FIRST_NODE_ID + 1, FIRST_NODE_ID + 2]
    assert record.pictures == 3 * alone.pictures
    assert len(seen) == 3 * 4
    assert accuracy(grid, FIRST_NODE_ID) == accuracy(grid, FIRST_NODE_ID + 2)
    assert record.model != alone.model


@pytest.mark.parametrize("technique", ["mixup", "dp-mix", "graft-mix", "shuffle-mix", "blur-mix", "pixelize"])
def test_every_kind_of_obfuscation_and_label_travels(technique: str) -> None:
    setting = replace(NOISE, obfuscation=Obfuscation(technique, strength=9 if technique == "blur-mix" else None))
    record, _, seen = train(owner(128, setting))
    assert not record.failures
    assert (seen[0].shares is not None) == (technique == "mixup")


def test_a_region_hides_that_alone() -> None:
    part = Region(top=0.25, left=0.25, height=0.5, width=0.5)
    its = owner(8, replace(NOISE, region=part))
    batch = its.mixtures.obfuscated(0, 0)
    images = torch.from_numpy(its.mixtures.opened(its.mixtures.groups(0)[:, 0].tolist())).permute(0, 3, 1, 2)
    same = (batch.pictures == images).all(1)
    assert same[:, ~part.mask(32)].all()
    assert same[:, part.mask(32)].double().mean() < 0.2


class Changing(Owner):
    """Sends pictures of another size after the first epoch."""

    def publish(self, asked: NextPart) -> Part:
        part = super().publish(asked)
        return part if asked.epoch == 0 else Part(pictures=part.pictures[:, ::2, ::2], labels=part.labels)


class Mislabelling(Owner):
    """Names a class that there is not."""

    def publish(self, asked: NextPart) -> Part:
        part = super().publish(asked)
        assert part.labels is not None
        return Part(pictures=part.pictures, labels=part.labels + 2)


class Wanting(Owner):
    """Wants another model than the others."""

    def enrol(self, enquiry: Enquiry) -> Enrolment:
        return super().enrol(enquiry).model_copy(update={"epochs": 9})


class Failing(Owner):
    """Breaks down in the second epoch."""

    def publish(self, asked: NextPart) -> Part:
        if asked.epoch:
            raise OSError("the disk is gone")
        return super().publish(asked)


@pytest.mark.parametrize(
    ("kind", "step", "reason"),
    [
        (Changing, "publish", "pictures of shape (32, 16, 16, 3)"),
        (Mislabelling, "publish", "a label is not one of the 2 classes"),
        (Wanting, "enrol", "wants something else trained than the first one"),
        (Failing, "publish", "the disk is gone"),
    ],
)
def test_the_service_does_without_an_owner_that_fails(kind: type[Owner], step: str, reason: str) -> None:
    record, grid, _ = train(owner(64), owner(64, number=2, kind=kind))
    ((where, node_id, why),) = record.failures
    assert (where, node_id) == (step, FIRST_NODE_ID + 1)
    assert reason in why
    assert list(record.enrolments) == [FIRST_NODE_ID]
    assert accuracy(grid) >= 0


def test_without_owners_there_is_nothing_to_train() -> None:
    for owners, reason in (
        ([], "no owner is left to train for: there was none"),
        ([owner(64, kind=Mislabelling)], "a label is not one of the 2 classes"),
        ([owner(8)], "an epoch has fewer images than a batch of 16"),
    ):
        with pytest.raises(WorkflowFailed, match=reason):
            train(*owners)


@pytest.mark.parametrize("weights", [b"nothing", bytes(8) + b"{}", b""])
def test_a_model_that_is_none_is_refused(weights: bytes) -> None:
    if not weights:
        with pytest.raises(ValueError, match="weights"):
            TrainedModel(architecture="compact", weights=weights)
        return
    with pytest.raises(ProtocolError, match="the returned model is no compact"):
        owner(8).receive(TrainedModel(architecture="compact", weights=weights))


def test_messages_are_bounded_and_labelled_once() -> None:
    pictures = np.zeros((2, 8, 8, 3), np.uint8)
    shares, labels = np.full((2, 2), 0.5, np.float32), np.zeros(2, np.int64)
    wrong: Sequence[dict[str, np.ndarray]] = (
        {},
        {"labels": labels, "shares": shares},
        {"labels": labels[:1]},
        {"shares": shares * np.nan},
        {"shares": shares - 1},
    )
    for labelled in wrong:
        with pytest.raises(ValueError, match=r"labels|shares"):
            Part(pictures=pictures, **labelled)
    with pytest.raises(ValueError, match="take more than"):
        Enrolment(classes=("a", "b"), side=256, architecture="compact", epochs=1, batch=8, mixtures=9_000, part=1_000)
    enrolment = Enrolment(
        classes=("a", "b"), side=256, architecture="compact", epochs=1, batch=8, mixtures=151, part=50
    )
    assert enrolment.parts == 4
    assert [enrolment.pictures_in(number) for number in range(4)] == [50, 50, 50, 1]
    with pytest.raises(UnreadableMessage):
        decode(RecordDict(dict(encode(Part(pictures=pictures, labels=labels)))), Enrolment)


def test_images_and_labels_have_to_fit() -> None:
    with pytest.raises(ValueError, match="2 images but 1 labels"):
        Owner(bytes(32), [np.zeros((8, 8, 3), np.uint8)] * 2, np.zeros(1, np.int64), NOISE, [], np.zeros(0, np.int64))
    with pytest.raises(ValueError, match="labels are numbered 0 to 1"):
        Owner(bytes(32), [np.zeros((8, 8, 3), np.uint8)], np.full(1, 2), NOISE, [], np.zeros(0, np.int64))
