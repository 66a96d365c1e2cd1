"""Crowdsourcing, from the extractor's publication to labelled representations (PRIC, Fig. 1)."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from flwr.serverapp import Grid
from numpy.typing import NDArray
from torch import Tensor

from parties.crowdsource.collector import Collector, received
from parties.workflow import roll_call
from protocol.encoding.canonical import digest
from protocol.exchange import Exchange
from protocol.messages.crowdsource import Contribution, TaskLabels

STEPS = ("publishing the extractor", "collecting representations", "asking for labels of the tasks")
"""What the workflow does; the extractor is trained before, the tasks are trained after."""


@dataclass
class CrowdsourceRecord:
    """What the collector has in the end.

    Attributes
    ----------
    participants : list of int
        Node ids of those who said that they are participants.
    contributions : dict of int to Contribution
        What was taken, by node id.
    labels : dict of int to TaskLabels
        Of those.
    failures : list of (str, int, str)
        Step, node id and reason, for each answer that did not come or was not taken.
    """

    participants: list[int]
    contributions: dict[int, Contribution] = field(default_factory=dict)
    labels: dict[int, TaskLabels] = field(default_factory=dict)
    failures: list[tuple[str, int, str]] = field(default_factory=list)

    def representations(self) -> Tensor:
        """Return all that was taken, (n, channels, h, w), participants in ascending order of their node ids."""
        return received(list(self.contributions.values()))

    def labelled(self) -> tuple[Tensor, NDArray[np.uint8]]:
        """Return representations that came with labels, and these, (n, tasks)."""
        labels = [each.labels for each in self.labels.values()]
        return received([self.contributions[node_id] for node_id in self.labels]), np.concatenate(labels)


class Crowdsourcing:
    """One round.

    1. Everyone says who they are; the collector publishes its extractor.
    2. Participants encode their albums and send the representations. Those of another shape are not taken.
    3. The collector chooses tasks, and participants send labels for them, as many as they sent representations.

    Parameters
    ----------
    collector : Collector
    grid : Grid
        Carries the messages.
    on_step : callable
        Told the number of each step as it begins, from 1.
    """

    def __init__(self, collector: Collector, grid: Grid, on_step: Callable[[int], None] = lambda number: None) -> None:
        self.collector = collector
        self.exchange = Exchange(grid, collector.clock)
        self.on_step = on_step
        self.record = CrowdsourceRecord([])

    def run(self) -> CrowdsourceRecord:
        """Take all steps."""
        self.on_step(1)
        self.record.participants = roll_call(self.exchange, self.collector.patience).get("participant", [])
        self.on_step(2)
        self._collect()
        self.on_step(3)
        self._ask_for_labels()
        return self.record

    def _collect(self) -> None:
        signed = self.collector.publication()
        self._name = digest(signed.publication)
        replies = self.exchange.ask(
            "contribute", dict.fromkeys(self.record.participants, signed), Contribution, self._deadline()
        )
        self._fail("contribute", replies.failures)
        shape = self.collector.representation_shape()
        for node_id, contribution in replies.answers.items():
            sent = contribution.codes if contribution.values is None else contribution.values
            assert sent is not None
            if contribution.publication != self._name:
                self._fail("contribute", {node_id: "the representations are of another extractor"})
            elif sent.shape[1:] != shape:
                self._fail(
                    "contribute", {node_id: f"representations of shape {sent.shape[1:]} came, and {shape} is expected"}
                )
            else:
                self.record.contributions[node_id] = contribution

    def _ask_for_labels(self) -> None:
        wanted = {node_id: sent for node_id, sent in self.record.contributions.items() if len(sent)}
        call = self.collector.call(self._name)
        replies = self.exchange.ask("label", dict.fromkeys(wanted, call), TaskLabels, self._deadline())
        self._fail("label", replies.failures)
        for node_id, answer in replies.answers.items():
            due = (len(wanted[node_id]), len(self.collector.tasks))
            if answer.publication != self._name or answer.labels.shape != due:
                self._fail("label", {node_id: f"labels of shape {answer.labels.shape} came, and {due} is expected"})
            else:
                self.record.labels[node_id] = answer

    def _deadline(self) -> float:
        return self.exchange.now() + self.collector.patience

    def _fail(self, step: str, failures: dict[int, str]) -> None:
        self.record.failures += [(step, node_id, why) for node_id, why in failures.items()]
