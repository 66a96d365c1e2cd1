"""The common rows of a federation's report: what each method leaks, and what is proven of it."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from simulations.evaluation import Guesses, constant, leak, mean
from simulations.reports.evaluation import NOTHING, Estimate, Leak, Promise
from simulations.reports.model import Seen
from simulations.reports.words import count
from simulations.workflows.federate.attacks import LIRA, LOSS, MORE, RMIA, SHADOWS, MembershipAttack
from simulations.workflows.federate.probes import BINS, BINS_OF_SUMS
from simulations.workflows.federate.report import Audit, Guarantee
from simulations.workflows.federate.scenario import SUMS, FederateScenario
from simulations.workflows.federate.scoring import Outcome, Restored

ANYONE, CLOUD, MALICIOUS = "anyone with the model", "the cloud", "a malicious cloud"
SHOWN = "the group of people, by {} and {}, that can be recognised in what is restored"


def leaks(
    name: str, scenario: FederateScenario, outcome: Outcome, plain: Outcome | None, baseline: float
) -> list[Leak]:
    """Score all attacks on one method.

    Args:
        plain: Of the same attacks on plain federated averaging; None where it is not among the methods.
        baseline: The share of the clients of whose kind most are.
    """
    undefended = None if plain is outcome else plain
    cohort = scenario.cohort
    shown = SHOWN.format(*("sex", "age") if cohort is None else (_word(cohort.private), _word(cohort.task)))
    rows = [_membership(name, scenario, attack, outcome, undefended) for attack in outcome.scores]
    if outcome.told is not None:
        rows.append(
            leak(
                name, CLOUD, "inference", f"whether most of a client's people have {scenario.property}",
                attack="property inference from a first update",
                knows=f"the model sent, {count(scenario.attacker.trials, 'update')} of its own",
                shared=outcome.told, baseline=baseline,
                ceiling=None if undefended is None else undefended.told,
            )
        )  # fmt: skip
    for probe, restored in outcome.restored.items():
        same = None if undefended is None else undefended.restored.get(probe)
        rows.append(
            _reconstruction(
                name, CLOUD, shown, f"gradient inversion of {probe.words}", "the model sent, what it asked for",
                restored, None if same is None else same.named,
            )
        )  # fmt: skip
    bins = BINS_OF_SUMS if scenario.methods[name].strategy in SUMS else BINS
    for attack, found, same in (
        ("planted weights", outcome.planted, None if undefended is None else undefended.planted),
        ("fishing with the last layer", outcome.fished, None if undefended is None else undefended.fished),
    ):
        if found is not None and len(found.named.hits):
            rows.append(
                _reconstruction(
                    name, MALICIOUS, shown, f"{attack}, {bins} bins", "public images, what it asked for", found,
                    None if same is None or not len(same.named.hits) else same.named,
                )
            )  # fmt: skip
    return rows


def _membership(
    name: str, scenario: FederateScenario, attack: MembershipAttack, outcome: Outcome, plain: Outcome | None
) -> Leak:
    attacker, (called, budget) = scenario.attacker, attack
    models = attacker.lira if budget == MORE else attacker.lira // MORE
    knows = {
        LOSS: "candidate images with their labels",
        SHADOWS: f"these, how clients train, {count(attacker.shadows, 'model')} of its own on other images",
        LIRA: f"these, how clients train, {count(models, 'model')} of its own on halves of the candidates",
        RMIA: f"these, how clients train, {count(models, 'model')} of its own on halves of the candidates",
    }
    return leak(
        name, ANYONE, "membership", "whether an image was trained on", attack=called, knows=knows[called],
        budget=budget, shared=outcome.right(attack), baseline=0.5,
        ceiling=None if plain is None else plain.right(attack),
        measures={"auc": outcome.auc(attack), "tpr_at_1_percent_fpr": outcome.caught(attack).rate},
    )  # fmt: skip


def pictures_seen(outcomes: Mapping[str, Outcome]) -> dict[str, Seen]:
    """Return what the cloud restores of people, by the attack of which most can be recognised: of each the best."""
    shown = {}
    for name, outcome in outcomes.items():
        found = {f"gradient inversion of {probe.words}": each for probe, each in outcome.restored.items()}
        tried = [(CLOUD, attack, each) for attack, each in found.items()]
        malicious = {"planted weights": outcome.planted, "fishing with the last layer": outcome.fished}
        tried += [(MALICIOUS, attack, each) for attack, each in malicious.items() if each is not None]
        tried = [each for each in tried if len(each[2].alike)]
        if not tried:
            continue
        observer, attack, best = max(tried, key=lambda each: each[2].named.rate.value)
        pictures = best.found.clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
        of = dict[int, NDArray[np.uint8]]()
        people = best.named.people.tolist()
        for place in best.alike.argsort():  # the last of a person is its best
            of[people[place]] = pictures[place]
        shown[name] = Seen(observer, attack, of)
    return shown


def _word(attribute: str) -> str:
    return attribute.replace("_", " ").lower()


def _reconstruction(
    name: str, observer: str, what: str, attack: str, knows: str, restored: Restored, ceiling: Guesses | None
) -> Leak:
    measures: dict[str, Estimate] = {"read": constant(restored.coverage)}
    if len(restored.alike):
        measures["ssim"] = mean(restored.alike, restored.named.people[: len(restored.alike)])
    return leak(
        name, observer, "reconstruction", what, attack=attack, knows=f"{knows}; named by a CNN of public images",
        shared=restored.named, baseline=restored.baseline, ceiling=ceiling, measures=measures,
    )  # fmt: skip


NEIGHBOURS = {
    "image": "two sets of images of a client that differ in one",
    "person": "two sets of images of a client that differ in one person",
    "client": "the same clients, with and without the update of one",
}


def promise(name: str, strategy: str, guarantee: Guarantee | None, audit: Audit | None) -> Promise:
    """Say what is proven of one training, and what attacks prove to be lost.

    Args:
        strategy: Of the method.
    """
    sees = {
        "secure-sum": "the cloud sees the sum of updates alone, and all that the sum shows",
        "dp-sum": "the cloud sees the sum of updates alone",
        "dp-clients": "the cloud sees every update before it adds noise, and has to be trusted with that",
        "dp-images": "also towards the cloud",
        "dp-people": "also towards the cloud",
    }.get(strategy, "the cloud sees every update")
    shown = ""
    if audit is not None:
        bound = "" if audit.promised is None else f", of {audit.promised:.2f} that is promised"
        shown = (
            f"; an attack shows that epsilon is at least {audit.epsilon:.2f} per {audit.unit}{bound} ({audit.attack}, "
            f"one run, {audit.right} of {audit.guesses} guesses right, 95 % confidence)"
        )
    if guarantee is None:
        return Promise(method=name, proven=f"{NOTHING}; {sees}{shown}")
    return Promise(
        method=name,
        proven=f"differential privacy of the model, all rounds together; {sees}{shown}",
        epsilon=guarantee.epsilon,
        delta=guarantee.delta,
        unit=f"a{'n' if guarantee.unit == 'image' else ''} {guarantee.unit}",
        neighbours=NEIGHBOURS[guarantee.unit],
    )


def plain_of(scenario: FederateScenario, outcomes: Mapping[str, Outcome], features: str = "own") -> Outcome | None:
    """Return what came of plain federated averaging on such features; None where it is not among the methods."""
    wanted = ("fedavg", features)
    methods = scenario.methods
    found = (each for name, each in outcomes.items() if (methods[name].strategy, methods[name].features) == wanted)
    return next(found, None)
