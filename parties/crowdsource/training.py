"""Joint training of an extractor on participants' pictures, as the collector leads it."""

import numpy as np

from parties.crowdsource.plan import training_of
from parties.secure_sum.summing import SecureSum
from parties.workflow import PATIENCE, OnStep, Record, Workflow, any_step
from protocol.exchange import Exchange
from protocol.messages.base import Acknowledgement
from protocol.messages.crowdsource import GradientRequest, SignedTrainingPlan
from protocol.messages.secure_sum import Round
from strategies.pric.federated import Leader, gradients_length, row_of


class JointTraining(Workflow[Record]):
    """Training of an extractor by those who have pictures, as the collector leads it.

    1. participants agree to a signed plan; 2. in each round the collector learns the sum of the gradients of some of
    them, drawn at random, and takes a step with it.

    Args:
        leader: Its networks are trained in place.
        exchange: Asks the participants.
        rounds, called: How many rounds, and participants in each; all where there are fewer.
        generator: Draws the participants of each round.
        on_step: Called as each round begins.
        patience: Seconds that participants have to answer.
    """

    STEPS = ("participants train the extractor",)

    def __init__(
        self,
        signed: SignedTrainingPlan,
        leader: Leader,
        exchange: Exchange,
        rounds: int,
        called: int,
        generator: np.random.Generator,
        on_step: OnStep = any_step,
        patience: float = PATIENCE,
    ) -> None:
        super().__init__(exchange, Record(), patience, on_step)
        self.signed, self.leader = signed, leader
        self.rounds, self.called = rounds, called
        self._generator = generator

    def run(self) -> Record:
        """Train.

        Raises:
            WorkflowFailed: When too many drop out of a round to read the sum, or no participant agrees.
        """
        training, players = training_of(self.signed.plan), self.leader.players
        enlisted = sorted(self.ask("enlist", dict.fromkeys(self.present("participant"), self.signed), Acknowledgement))
        for number in range(1, self.rounds + 1):
            self.begin(number, self.STEPS[0])
            chosen = sorted(self._generator.permutation(enlisted)[: self.called].tolist())
            call = GradientRequest(
                round=Round(training=training, number=number), model=row_of(players), signed=self.signed
            )
            size = 1 + gradients_length(players)
            summing = SecureSum(self.exchange, chosen, call, self.patience, size)
            try:
                summed = summing.run()
            finally:
                self.record.failures += summing.record.failures
            self.leader.step(summed.total[1:] / max(1.0, summed.total[0]))
        players.eval()
        return self.record
