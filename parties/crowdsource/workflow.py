"""Crowdsourcing, from the extractor's publication to labelled representations (PRIC, Fig. 1)."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from parties.crowdsource.collector import Collector, received
from parties.workflow import OnStep, Record, Workflow, any_step
from protocol.encoding.canonical import digest
from protocol.exchange import Exchange
from protocol.messages.crowdsource import Contribution, TaskLabels


@dataclass
class CrowdsourceRecord(Record):
    """What the collector has received.

    Attributes:
        participants: Their node ids.
        contributions: Accepted contributions, by node id.
        labels: Of those.
    """

    participants: list[int] = field(default_factory=list)
    contributions: dict[int, Contribution] = field(default_factory=dict)
    labels: dict[int, TaskLabels] = field(default_factory=dict)

    def representations(self) -> Tensor:
        """Return all accepted representations, (n, channels, h, w), in ascending order of node ids."""
        return received(list(self.contributions.values()))

    def labelled(self) -> tuple[Tensor, NDArray[np.uint8]]:
        """Return representations that came with labels, and these, (n, tasks)."""
        labels = [each.labels for each in self.labels.values()]
        return received([self.contributions[node_id] for node_id in self.labels]), np.concatenate(labels)


class Crowdsource(Workflow[CrowdsourceRecord]):
    """One round.

    1. Roll call; the collector publishes its extractor.
    2. Participants encode their albums and send the representations. Those of another shape are refused.
    3. The collector chooses tasks, and participants send labels for them, as many as they sent representations.

    Args:
        exchange: Asks the parties.
        on_step: Called as each step begins.
    """

    role = "collector"
    STEPS = ("publishing the extractor", "collecting representations", "asking for labels of the tasks")
    """The extractor is trained before, the tasks after."""

    def __init__(self, collector: Collector, exchange: Exchange, on_step: OnStep = any_step) -> None:
        super().__init__(exchange, CrowdsourceRecord(), collector.patience, on_step)
        self.collector = collector

    def run(self) -> CrowdsourceRecord:
        """Play all steps."""
        self.begin(1)
        self.record.participants = self.present("participant")
        self.begin(2)
        self._collect()
        self.begin(3)
        self._ask_for_labels()
        return self.record

    def _collect(self) -> None:
        signed = self.collector.publication()
        self._name = digest(signed.publication)
        answers = self.ask("contribute", dict.fromkeys(self.record.participants, signed), Contribution)
        shape = self.collector.representation_shape()
        for node_id, contribution in answers.items():
            sent = contribution.codes if contribution.values is None else contribution.values
            assert sent is not None
            if contribution.publication != self._name:
                self.record.fail("contribute", {node_id: "the representations are of another extractor"})
            elif sent.shape[1:] != shape:
                self.record.fail(
                    "contribute", {node_id: f"representations of shape {sent.shape[1:]} came, and {shape} is expected"}
                )
            else:
                self.record.contributions[node_id] = contribution

    def _ask_for_labels(self) -> None:
        wanted = {node_id: sent for node_id, sent in self.record.contributions.items() if len(sent)}
        call = self.collector.call(self._name)
        answers = self.ask("label", dict.fromkeys(wanted, call), TaskLabels)
        for node_id, answer in answers.items():
            due = (len(wanted[node_id]), len(self.collector.tasks))
            if answer.publication != self._name or answer.labels.shape != due:
                why = f"labels of shape {answer.labels.shape} came, and {due} is expected"
                self.record.fail("label", {node_id: why})
            else:
                self.record.labels[node_id] = answer
