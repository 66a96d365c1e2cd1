"""An extractor that participants train, in a simulated round."""

from dataclasses import replace

from flwr.serverapp import Grid

from parties.crowdsource.plan import recipe_of, sign_plan
from parties.crowdsource.training import train_together
from parties.roll_call import roll_call
from parties.secure_sum.summing import PATIENCE, SumFailed
from protocol.exchange import Exchange
from protocol.messages.crowdsource import SignedTrainingPlan, TrainingPlan
from protocol.signing import SigningKey
from simulations.crowdsource.scenario import CrowdsourceScenario
from simulations.errors import RunFailed
from simulations.progress import Progress
from simulations.seeding import generator, torch_generator
from strategies.pric.federated import Leader
from strategies.pric.training import Trained, new_players

Failures = list[tuple[str, int, str]]


def trained_by_participants(
    scenario: CrowdsourceScenario, grid: Grid, key: bytes, progress: Progress
) -> tuple[Trained, Failures]:
    """Have participants train the extractor; return the networks, and which step failed at whom, and why.

    Raises
    ------
    RunFailed
        When too many drop out of a round.
    """
    section, federated = scenario.collector, scenario.federated
    signed = plan_of(scenario, SigningKey.derive(key, "identity"))
    exchange = Exchange(grid)
    draws = torch_generator(scenario.seed, "extractor")
    recipe = replace(recipe_of(signed.plan), rate=federated.rate, adversary_rate=federated.adversary_rate)
    leader = Leader(new_players(section.extractor, recipe, len(section.hide), draws), recipe)
    try:
        failures = train_together(
            exchange,
            roll_call(exchange, PATIENCE).get("participant", []),
            signed,
            leader,
            federated.rounds,
            federated.called,
            generator(scenario.seed, "called"),
            PATIENCE,
            lambda number: progress("participants train the extractor", number - 1, federated.rounds),
        )
    except SumFailed as failed:
        raise RunFailed(f"participants could not train the extractor: {failed}") from None
    return leader.players, failures


def plan_of(scenario: CrowdsourceScenario, collector: SigningKey) -> SignedTrainingPlan:
    """Return the plan that participants are asked to agree to."""
    section, federated = scenario.collector, scenario.federated
    plan = TrainingPlan(
        number=1,
        architecture=section.extractor,
        side=scenario.side,
        hides=section.hide,
        warm_up=federated.warm_up,
        weight=section.weight,
        bound=section.bound,
        conditional=section.conditional,
        ascent=section.ascent,
    )
    return sign_plan(plan, collector)
