"""The collector's part in training an extractor on pictures that it never sees."""

from collections.abc import Callable, Sequence

import numpy as np

from parties.crowdsource.plan import training_of
from parties.secure_sum.summing import secure_sum
from protocol.exchange import Exchange
from protocol.messages.base import Acknowledgement
from protocol.messages.crowdsource import SignedTrainingPlan, SlopeCall
from protocol.messages.secure_sum import Round
from strategies.pric.federated import Leader, row_of


def train_together(
    exchange: Exchange,
    participants: Sequence[int],
    signed: SignedTrainingPlan,
    leader: Leader,
    rounds: int,
    called: int,
    draws: np.random.Generator,
    patience: float,
    on_round: Callable[[int], None] = lambda number: None,
) -> list[tuple[str, int, str]]:
    """Train an extractor: in each round the collector learns the sum of what some participants tell, and takes a step.

    Parameters
    ----------
    exchange : Exchange
    participants : sequence of int
        Node ids.
    signed : SignedTrainingPlan
    leader : Leader
        Its networks are trained in place.
    rounds, called : int
        How many rounds, and participants in each, drawn at random; all where there are fewer.
    draws : np.random.Generator
    patience : float
        Seconds that participants have to agree.
    on_round : callable
        Told the number of each round as it begins, from 1.

    Returns
    -------
    list of (str, int, str)
        Step, node id and reason of each answer that did not come.

    Raises
    ------
    SumFailed
        When so many drop out of a round that the sum cannot be read, or nobody agrees.
    """
    training = training_of(signed.plan)
    asked = exchange.ask("enlist", dict.fromkeys(participants, signed), Acknowledgement, exchange.now() + patience)
    failures = [("enlist", node_id, why) for node_id, why in asked.failures.items()]
    enlisted = sorted(asked.answers)
    for number in range(1, rounds + 1):
        on_round(number)
        chosen = sorted(draws.permutation(enlisted)[:called].tolist())
        call = SlopeCall(
            round=Round(training=training, number=number), model=row_of(leader.players), dealt=(), signed=signed
        )
        summed = secure_sum(exchange, chosen, call)
        failures += summed.failures
        leader.step(summed.total[1:] / max(1.0, summed.total[0]))
    leader.players.eval()
    return failures
