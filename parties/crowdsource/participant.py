"""A participant: a phone with an album, and an owner who knows what the pictures show."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, MaxLen
from numpy.typing import NDArray
from torch import Tensor

from parties.album import Album, readable
from parties.crowdsource.plan import plan_is_by, recipe_of, training_of
from parties.crowdsource.publication import extractor_of, is_by
from parties.party import step, together
from parties.secure_sum.adding import AddingParty
from protocol.crypto.signing import verify
from protocol.encoding.canonical import canonical, digest
from protocol.errors import ProtocolError
from protocol.messages.base import MAX_ITEMS, Acknowledgement, Digest, ProtocolMessage
from protocol.messages.crowdsource import (
    Contribution,
    GradientRequest,
    Publication,
    SignedPublication,
    SignedTaskCall,
    SignedTrainingPlan,
    TaskLabels,
    TrainingPlan,
)
from protocol.messages.secure_sum import MaskedValues
from strategies.features.featurizer import prepare
from strategies.learning.batches import Images
from strategies.pric.encoding import encode
from strategies.pric.federated import gradients, gradients_length, players_of
from strategies.pric.quantisation import quantise


class Sent(ProtocolMessage):
    """What a participant must remember of a contribution: the extractor's number, what it hides, which pictures."""

    publication: Digest
    number: Annotated[int, Ge(1)]
    hides: Annotated[tuple[str, ...], MaxLen(100)]
    positions: Annotated[tuple[Annotated[int, Ge(0)], ...], MaxLen(MAX_ITEMS)]


class Participant(AddingParty):
    """Sends representations of an album, and labels for tasks that were chosen later.

    Steps:

    1. ``enlist``, where participants train the extractor: check that the collector has signed the plan and that the
       extractor is to hide what the owner wants hidden; then, when called, the steps of `AddingParty`, with ``add``:
       compute gradients of the networks, with the album and labels of what is to be hidden;
    2. ``contribute`` (2): check that the extractor is signed by the collector whom the owner trusts, no older than the
       last one, and said to hide what the owner wants hidden; encode the album and send the representations;
    3. ``label`` (3): say what the pictures show, but never what the extractor is to hide.

    Nothing shows a participant that an extractor hides what it is said to hide.

    Args:
        secret: See `Party`.
        attributes: What the owner knows of each picture.
        labels: (n, attributes), what that is.
        collector: The public key of the collector whom the owner trusts.
        hidden: What the owner wants hidden.
    """

    role = "participant"

    def __init__(
        self,
        secret: bytes,
        album: Album,
        attributes: Sequence[str],
        labels: NDArray[np.bool_],
        collector: bytes,
        hidden: Sequence[str],
    ) -> None:
        super().__init__(secret)
        self.album = album
        self.attributes = tuple(attributes)
        self.labels = labels
        self.collector = collector
        self.hidden = frozenset(hidden)

    @step("enlist")
    def enlist(self, signed: SignedTrainingPlan) -> Acknowledgement:
        """Check the plan, and agree to train."""
        self._check_plan(signed)
        return Acknowledgement()

    @step("add")
    def add(self, call: GradientRequest) -> MaskedValues:
        """Send gradients behind masks: the number of pictures, and the sum of their gradients."""
        self._check_plan(call.signed)
        if call.round.training != training_of(call.signed.plan):
            raise ProtocolError("the sum is not of the training that is planned")
        return self.behind_masks(call, lambda: self.gradients(call))

    @together("add")
    def gradients(participants: Sequence["Participant"], call: GradientRequest) -> list[NDArray[np.float64]]:  # noqa: N805
        """Compute the gradients of Eq. 6 on each album; the networks are built once for all."""
        plan = call.signed.plan
        recipe = recipe_of(plan)
        players = players_of(np.array(call.model), plan.architecture, recipe, len(plan.hides))
        albums = [participant.labelled(plan) for participant in participants]
        told = gradients(
            players, [each for each in albums if len(each[1])], recipe, warm_up=call.round.number <= plan.warm_up
        )
        nothing = np.zeros(1 + gradients_length(players))
        return [
            np.concatenate([[len(private)], len(private) * next(told)]) if len(private) else nothing
            for _, private in albums
        ]

    def labelled(self, plan: TrainingPlan) -> tuple[Tensor, Tensor]:
        """Return the album, (n, 3, side, side) in 0..1, and labels of the hidden attributes, (n, attributes)."""
        opened = [(position, prepare(picture, plan.side)) for position, picture in readable(self.album)]
        if not opened:
            return torch.empty(0, 3, plan.side, plan.side), torch.empty(0, len(plan.hides))
        pictures = Images(np.stack([picture for _, picture in opened]))[torch.arange(len(opened))]
        return pictures, torch.from_numpy(
            self.labels[[position for position, _ in opened]][:, self._columns(plan.hides)]
        )

    def _check_plan(self, signed: SignedTrainingPlan) -> None:
        plan = signed.plan
        if not plan_is_by(self.collector, signed):
            raise ProtocolError("the plan is not signed by the collector whom this participant trusts")
        if missing := self.hidden - set(plan.hides):
            raise ProtocolError(f"the extractor is not meant to hide {', '.join(sorted(missing))}")
        self._columns(plan.hides)
        recipe_of(plan)

    @step("contribute")
    def contribute(self, signed: SignedPublication) -> Contribution:
        """Step 2: encode the album with the collector's extractor."""
        publication = signed.publication
        if not is_by(self.collector, signed):
            raise ProtocolError("the extractor is not signed by the collector whom this participant trusts")
        if missing := self.hidden - set(publication.hides):
            raise ProtocolError(f"the extractor is not said to hide {', '.join(sorted(missing))}")
        if publication.number < (last := self._last_number()):
            raise ProtocolError(f"extractor {publication.number} is older than number {last}, which came before")
        name = digest(publication)
        positions, representations = self.encoded(signed)
        self.memory.keep(
            "sent",
            Sent(publication=name, number=publication.number, hides=publication.hides, positions=tuple(positions)),
        )
        return self.send(name, publication, representations, len(self.album) - len(positions))

    @together("contribute")
    def encoded(
        participants: Sequence["Participant"],  # noqa: N805
        signed: SignedPublication,
    ) -> list[tuple[list[int], Tensor]]:
        """Open the albums and encode them: where many participants are, in full batches.

        Returns positions of the pictures that open, and their representations (n, channels, h, w).
        """
        publication = signed.publication
        extractor = extractor_of(publication)
        opened = [
            [(position, prepare(picture, publication.side)) for position, picture in readable(participant.album)]
            for participant in participants
        ]
        shape = (publication.side, publication.side, 3)
        pictures = [picture for album in opened for _, picture in album]
        representations = encode(extractor, np.stack(pictures) if pictures else np.empty((0, *shape), dtype=np.uint8))
        parts = torch.split(representations, [len(album) for album in opened])
        return [([position for position, _ in album], part) for album, part in zip(opened, parts, strict=True)]

    def send(self, name: bytes, publication: Publication, representations: Tensor, unreadable: int) -> Contribution:
        """Return the contribution."""
        if not publication.quantised:
            return Contribution(publication=name, values=representations.numpy(), unreadable=unreadable)
        codes, highest = quantise(representations)
        return Contribution(publication=name, codes=codes, highest=highest, unreadable=unreadable)

    @step("label")
    def label(self, signed: SignedTaskCall) -> TaskLabels:
        """Step 3: send labels of the pictures that were sent."""
        call = signed.call
        if not verify(self.collector, "task call", canonical(call), signed.signature):
            raise ProtocolError("the task call is not signed by the collector whom this participant trusts")
        try:
            sent = self.memory.recall("sent", Sent)
        except KeyError:
            raise ProtocolError("this participant has sent no representations") from None
        if sent.publication != call.publication:
            raise ProtocolError("the tasks are for representations of another extractor")
        if private := [task for task in call.tasks if task in self.hidden or task in sent.hides]:
            raise ProtocolError(f"a label of {private[0]} is asked for, which is to be hidden")
        columns = self._columns(call.tasks)
        return TaskLabels(publication=call.publication, labels=self.said(self.labels[list(sent.positions)][:, columns]))

    def said(self, labels: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Return the labels to send; an honest participant's are the true ones."""
        return labels.astype(np.uint8)

    def _columns(self, names: Sequence[str]) -> list[int]:
        if unknown := [name for name in names if name not in self.attributes]:
            raise ProtocolError(f"this participant does not know of {unknown[0]}")
        return [self.attributes.index(name) for name in names]

    def _last_number(self) -> int:
        try:
            return self.memory.recall("sent", Sent).number
        except KeyError:
            return 0
