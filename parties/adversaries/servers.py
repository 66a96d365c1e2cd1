"""Servers that ask for more than was agreed, or pass on other things."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, TypeVar

import numpy as np
import torch
from annotated_types import Ge, Gt
from torch import nn

from parties.adversaries.adversary import adversary
from parties.adversaries.meddling import MeddledExchange
from parties.crowdsource.collector import Collector
from parties.crowdsource.workflow import Crowdsource
from parties.federate.workflow import Federate, Federation
from parties.publish.publisher import mechanism_of
from parties.publish.workflow import Curator, Publish
from parties.purchase.cloud import Cloud
from parties.purchase.workflow import Purchase
from parties.workflow import OnStep, any_step
from protocol.exchange import SILENT, Exchange, Expected, Failed
from protocol.messages.base import ProtocolMessage
from protocol.messages.publish import CallForPictures, Publication
from protocol.messages.purchase import Statement
from strategies.dp_images.attacks import combined
from strategies.pixels import to_pictures, to_tensor
from strategies.pric.networks import new_extractor

M = TypeVar("M", bound=ProtocolMessage)


class _Plain(MeddledExchange):
    """Asks for another mechanism."""

    def question(self, node_id: int, question: ProtocolMessage) -> ProtocolMessage:
        """Name the one that adds nothing."""
        if isinstance(question, CallForPictures):
            return question.model_copy(update={"mechanism": "plain", "settings": ()})
        return question


@adversary("plain-cloud", knowledge="nothing beyond its role", profit="all pictures as they are")
class PlainCloud(Publish):
    """Asks owners for their pictures without noise, in the place of every method."""

    def __init__(self, curator: Curator, exchange: Exchange, on_step: OnStep = any_step) -> None:
        super().__init__(curator, _Plain(exchange), on_step)


@adversary(
    "renaming-cloud",
    knowledge="nothing beyond its role",
    profit="pictures with less noise, of owners who draw new noise for each name",
)
class RenamingCloud(Publish):
    """Asks for the same publication under many names, and puts together what comes."""

    names: Annotated[int, Ge(2)] = 20

    def ask(
        self, step: str, questions: Mapping[int, ProtocolMessage], answer: Expected[M], *rest: Any, **more: Any
    ) -> dict[int, M]:
        """Ask under every name."""
        found: list[dict[int, M]] = []
        for name in range(self.names if step == "publish" else 1):
            renamed = {
                node_id: question.model_copy(update={"method": f"{question.method}-{name}"})
                if isinstance(question, CallForPictures) and name
                else question
                for node_id, question in questions.items()
            }
            found.append(super().ask(step, renamed, answer, *rest, **more))
        if len(found) == 1:
            return found[0]
        return {
            node_id: _together(questions[node_id], [each[node_id] for each in found if node_id in each])
            for node_id in found[0]
        }


def _together(question: ProtocolMessage, answers: list[M]) -> M:
    """Return the first answer with what all of them together show."""
    assert isinstance(question, CallForPictures)
    used = mechanism_of(question)
    pictures = [to_tensor(np.array(each.pictures)).contiguous() for each in answers if isinstance(each, Publication)]
    return answers[0].model_copy(update={"pictures": to_pictures(combined(used, pictures))})


@adversary(
    "noiseless-cloud",
    knowledge="nothing beyond its role",
    profit="updates that show the pictures they were learnt from",
)
class NoiselessCloud(Federate):
    """Asks clients for differential privacy with next to no noise."""

    sigma: Annotated[float, Gt(0)] = 1e-9

    def __init__(
        self, federation: Federation, exchange: Exchange, on_step: OnStep = any_step, **others: object
    ) -> None:
        if "sigma" in federation.settings:
            federation = replace(federation, settings={**federation.settings, "sigma": self.sigma})
        super().__init__(federation, exchange, on_step, **others)  # type: ignore[arg-type]


@adversary(
    "identity-extractor",
    knowledge="nothing beyond its role",
    profit="representations that are the pictures themselves, at a quarter of their side",
)
class IdentityExtractor(Crowdsource):
    """Publishes, as an extractor that hides what participants want hidden, one that hides nothing."""

    def __init__(self, collector: Collector, exchange: Exchange, on_step: OnStep = any_step) -> None:
        passing = _identity(collector.architecture)
        super().__init__(replace(collector, extractor=passing), exchange, on_step)


def _identity(architecture: str) -> nn.Module:
    """Return an extractor whose first three channels are the picture, of which each pooling keeps the brightest."""
    extractor = new_extractor(architecture, torch.Generator())
    first = True
    for layer in extractor.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.dirac_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
            if first:
                nn.init.ones_(layer.bias)  # so that nothing is lost below zero
            first = False
    return extractor.eval().requires_grad_(False)


class _Withholding(MeddledExchange):
    """Sends no release to the buyer: has it verify nothing, and leaves releases out of its statement."""

    def question(self, node_id: int, question: ProtocolMessage) -> ProtocolMessage:
        """Leave the releases out."""
        return question.model_copy(update={"releases": ()}) if isinstance(question, Statement) else question

    def each(
        self, step: str, questions: Mapping[int, ProtocolMessage], answer: Expected[M], *rest: Any, **more: Any
    ) -> Iterator[tuple[int, M | Failed]]:
        """Ask nobody to verify anything, and take that for silence."""
        if step == "verify":
            yield from ((node_id, Failed(SILENT)) for node_id in sorted(questions))
        else:
            yield from super().each(step, questions, answer, *rest, **more)


@adversary(
    "withholding-cloud",
    knowledge="nothing beyond its role",
    profit="its commission, though the buyer cannot open what it has paid for",
)
class WithholdingCloud(Purchase):
    """Takes the payment, pays the sellers, and never sends the buyer what opens its pictures."""

    def __init__(
        self, cloud: Cloud, exchange: Exchange, on_step: OnStep = any_step, *, buyer: int | None = None
    ) -> None:
        super().__init__(cloud, _Withholding(exchange), on_step, buyer=buyer)
