"""The `outsource` workflow: training on obfuscated images, as the service drives it."""

from dataclasses import dataclass, field

import numpy as np
import safetensors.numpy

from parties.outsource.service import TrainingService
from parties.workflow import OnStep, Record, Workflow, WorkflowFailed, any_step
from protocol.compute.workshop import Placed
from protocol.exchange import Exchange
from protocol.messages.base import Acknowledgement
from protocol.messages.outsource import Enquiry, Enrolment, NextPart, Part, TrainedModel
from strategies.learning.classifier import ARCHITECTURES
from strategies.learning.streamed import StreamedTraining


@dataclass
class OutsourceRecord(Record):
    """The service's record.

    Attributes:
        enrolments: Owners by node id whose images were trained on.
        losses: Mean loss of each epoch, on obfuscated images.
        pictures: How many were received in all.
        model: The network, a safetensors file.
    """

    enrolments: dict[int, Enrolment] = field(default_factory=dict)
    losses: list[float | None] = field(default_factory=list)
    pictures: int = 0
    model: bytes = b""


class Outsource(Workflow[OutsourceRecord]):
    """One model, trained on the obfuscated images of one or more owners.

    1. the service asks owners what to train; the first owner decides, and owners with other wishes are refused; 2. in
       every epoch it asks all of them for the next part of their freshly obfuscated images, trains on these parts
       together, and drops them before it asks for the next; 3. the model goes to all owners.

    An owner that fails, or sends something else than it announced, is dropped.

    Args:
        service: It trains.
        exchange: Asks the parties.
        on_step: Called as each step begins.
    """

    role = "service"
    STEPS = ("enrolment", "obfuscated epochs and training", "return of the model")

    def __init__(self, service: TrainingService, exchange: Exchange, on_step: OnStep = any_step) -> None:
        super().__init__(exchange, OutsourceRecord(), service.patience, on_step)
        self.service = service

    def run(self) -> OutsourceRecord:
        """Play all steps.

        Raises:
            WorkflowFailed: When no owner enrols, or all of them fail.
        """
        self.begin(1)
        self._enrol()
        self.begin(2)
        self._train()
        self.begin(3)
        self._return()
        return self.record

    def _enrol(self) -> None:
        owners = dict.fromkeys(self.present("owner"), Enquiry())
        for node_id, enrolment in self.ask("enrol", owners, Enrolment).items():
            refusal = self._refusal(enrolment)
            if refusal is None:
                self.record.enrolments[node_id] = enrolment
            else:
                self._drop("enrol", node_id, refusal)
        self._check_somebody_is_left()

    def _refusal(self, enrolment: Enrolment) -> str | None:
        if enrolment.architecture not in ARCHITECTURES:
            return f"there is no architecture {enrolment.architecture}"
        for first in self.record.enrolments.values():
            if _common(enrolment) != _common(first):
                return "the owner wants something else trained than the first one"
        return None

    def _train(self) -> None:
        first = next(iter(self.record.enrolments.values()))
        steps = sum(each.mixtures for each in self.record.enrolments.values()) // first.batch * first.epochs
        if not steps:
            raise WorkflowFailed(f"an epoch has fewer images than a batch of {first.batch}")
        training = self.service.workshop.place(
            StreamedTraining, first.architecture, len(first.classes), steps, first.batch, self.service.seed
        )
        for epoch in range(first.epochs):
            for number in range(max(each.parts for each in self.record.enrolments.values())):
                self._train_on(epoch, number, training)
            self.record.losses.append(training.call("end_epoch"))
        self.record.model = safetensors.numpy.save(training.call("weights"))

    def _train_on(self, epoch: int, number: int, training: Placed) -> None:
        asked = [node_id for node_id, each in self.record.enrolments.items() if number < each.parts]
        question = NextPart(epoch=epoch, number=number)
        answers = self.ask("publish", dict.fromkeys(asked, question), Part)
        for node_id in set(asked) - answers.keys():
            del self.record.enrolments[node_id]
        parts = []
        for node_id, part in answers.items():
            fault = _fault(part, self.record.enrolments[node_id], number)
            if fault is None:
                parts.append(part)
            else:
                self._drop("publish", node_id, fault)
        self._check_somebody_is_left()
        for kind in ("labels", "shares"):
            alike = [part for part in parts if getattr(part, kind) is not None]
            if alike:
                pictures = np.concatenate([part.pictures for part in alike])
                training.call("learn", pictures, np.concatenate([part.targets for part in alike]))
                self.record.pictures += len(pictures)

    def _return(self) -> None:
        architecture = next(iter(self.record.enrolments.values())).architecture
        model = TrainedModel(architecture=architecture, weights=self.record.model)
        self.ask("receive", dict.fromkeys(self.record.enrolments, model), Acknowledgement)

    def _drop(self, step: str, node_id: int, why: str) -> None:
        self.record.enrolments.pop(node_id, None)
        self.record.fail(step, {node_id: why})

    def _check_somebody_is_left(self) -> None:
        if not self.record.enrolments:
            reasons = [failure.sentence for failure in self.record.failures]
            raise WorkflowFailed(f"no owner is left to train for: {reasons[-1] if reasons else 'there was none'}")


def _common(enrolment: Enrolment) -> tuple[object, ...]:
    """Return the settings that all owners of one model share."""
    return enrolment.classes, enrolment.side, enrolment.architecture, enrolment.epochs, enrolment.batch


def _fault(part: Part, enrolment: Enrolment, number: int) -> str | None:
    """Return how a part differs from what its owner announced; None if it does not."""
    expected = (enrolment.pictures_in(number), enrolment.side, enrolment.side, 3)
    if part.pictures.shape != expected:
        return f"a part has pictures of shape {part.pictures.shape}, and {expected} was agreed"
    if part.labels is not None and not 0 <= part.labels.min() <= part.labels.max() < len(enrolment.classes):
        return f"a label is not one of the {len(enrolment.classes)} classes"
    if part.shares is not None and part.shares.shape[1] != len(enrolment.classes):
        return f"shares are of {part.shares.shape[1]} classes, and there are {len(enrolment.classes)}"
    return None
