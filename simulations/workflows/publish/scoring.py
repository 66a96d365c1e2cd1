"""What publications are worth, and what the public makes of them, scored against the truth."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from parties.publish.publisher import mechanism_of
from parties.publish.workflow import Collection
from protocol.messages.publish import CallForPictures, Gallery
from simulations.evaluation import Guesses, leak, mean
from simulations.reports.evaluation import NOTHING, Leak, Promise
from simulations.reports.model import ORIGINALS, Seen
from simulations.reports.words import count, percent
from simulations.workflows.publish.attacks import CNN, RESTORED, Findings, Guess
from simulations.workflows.publish.report import Loss, MethodResult
from simulations.workflows.publish.scenario import PublishScenario
from simulations.workflows.publish.world import People, owner_of
from strategies.dp_images import Guarantee, Mechanism
from strategies.dp_images.attacks import colours
from strategies.privacy.accounting import optimal_composition
from strategies.scores.privacy_scores import dssim

PUBLIC = "the public"
SHOWN = 6
"""Pictures of each method that the report shows."""


@dataclass(frozen=True)
class Scored:
    """A method's numbers, and pictures to look at.

    Attributes:
        originals, published, restored: (k, 3, size, size) uint8; a few pictures, the same ones for each method.
        owners: (k,), whose they are.
    """

    result: MethodResult
    originals: Tensor
    published: Tensor
    restored: Tensor
    owners: NDArray[np.int64]

    @property
    def seen(self) -> Seen:
        """What the public makes of these pictures."""
        shown = zip(self.owners.tolist(), colours(self.restored), strict=True)
        return Seen(PUBLIC, "restored as far as can be", dict(shown))


def pictures_seen(scored: Mapping[str, Scored]) -> dict[str, Seen]:
    """Return what the public makes of a few pictures of each method, and under `ORIGINALS` these themselves."""
    first = next(iter(scored.values()))
    originals = dict(zip(first.owners.tolist(), colours(first.originals), strict=True))
    return {ORIGINALS: Seen("", "", originals), **{name: each.seen for name, each in scored.items()}}


def weakest(asked: Sequence[CallForPictures], scenario: PublishScenario) -> CallForPictures:
    """Return the call that protects a whole picture least, and its neighbours least where that says nothing."""

    def lost(call: CallForPictures) -> tuple[float, ...]:
        asked = mechanism_of(call)
        whole, near = asked.any_picture(scenario.owners.size, scenario.owners.size), asked.guarantee()
        return whole.epsilon, whole.delta, near.epsilon, near.delta

    return max(asked, key=lost)


@dataclass(frozen=True, eq=False)
class Truth:
    """What was published by one method, as only the simulation knows it.

    Attributes:
        originals: (n, 3, size, size) uint8
        owners: (n,) whose they are.
        has: (n,) bool; whether the owner has the private attribute.
    """

    originals: Tensor
    owners: NDArray[np.int64]
    has: NDArray[np.bool_]

    @classmethod
    def of(cls, collection: Collection, people: People, scenario: PublishScenario) -> "Truth":
        """Look up what was published."""
        owners = owner_of(collection.owners)
        places = owners * scenario.owners.pictures + collection.places
        has = people.albums.private[places]
        return cls(people.albums.pictures[places], owners, has)

    @property
    def attribute_baseline(self) -> float:
        """The success of saying the same of everybody."""
        share = float(self.has.mean())
        return max(share, 1 - share)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What attackers and a learner made of one method, beside the truth.

    Attributes:
        right, right_alike: Which fresh pictures the classifier named, as they are and published alike.
        audited: How much of the promised epsilon an audit shows to be lost, a share; None where none is promised.
        present: How surely pictures that were published are told from others; None where there are no others.
    """

    truth: Truth
    found: Findings
    right: Guesses
    right_alike: Guesses
    audited: float | None
    present: Guesses | None = None

    def whose(self, guess: Guess) -> Guesses:
        """Which pictures an attack gave to the right owner."""
        return Guesses.of(guess.owners == self.truth.owners, self.truth.owners)

    @property
    def named(self) -> Guesses:
        """In which restored pictures a recogniser of clean ones names the right person."""
        return Guesses.of(self.found.named == self.truth.owners, self.truth.owners)

    def told(self, attack: str) -> Guesses:
        """Of which pictures an attack told the attribute rightly."""
        return Guesses.of(self.found.attribute[attack] == self.truth.has, self.truth.owners)

    @property
    def useful(self) -> Guesses:
        """Which fresh pictures the classifier named, of the kind that it does better on."""
        return max(self.right, self.right_alike, key=lambda each: each.rate.value)


def told_apart(scores: NDArray[np.float64], people: NDArray[np.int64]) -> Guesses:
    """Return for each picture that was published beside how many others it has the higher score; a tie counts half.

    Args:
        scores: (2 n,), of pictures that were published, then of others.
        people: (n,), who is in the former.
    """
    inside, ordered = scores[: len(people)], np.sort(scores[len(people) :])
    below = np.searchsorted(ordered, inside, "left") + np.searchsorted(ordered, inside, "right")
    return Guesses.of(below / (2 * len(ordered)), people)


def leaks(name: str, outcome: Outcome, undefended: Outcome, scenario: PublishScenario) -> list[Leak]:
    """Score all attacks on one method.

    Args:
        undefended: Of the same attacks on the originals.
    """
    attacker, chance = scenario.attacker, 1 / scenario.owners.count
    same = outcome is undefended
    owners = f"the method, {count(attacker.known, 'other image')} of each owner"
    strangers = f"the method, {count(attacker.strangers, 'image')} of other people with their attributes"
    plain = {guess.budget: undefended.whose(guess) for guess in undefended.found.guesses}
    (attribute_of_plain,) = undefended.found.attribute
    rows = [
        leak(
            name, PUBLIC, "linkability", "whose image it is", attack=guess.attack, knows=owners, budget=guess.budget,
            shared=outcome.whose(guess), baseline=chance,
            ceiling=None if same else plain[guess.budget],
        )
        for guess in outcome.found.guesses
    ]  # fmt: skip
    rows += [
        leak(
            name, PUBLIC, "inference", f"whether the owner is {attacker.attribute}", attack=attack, knows=strangers,
            shared=outcome.told(attack), baseline=outcome.truth.attribute_baseline,
            ceiling=None if same else undefended.told(attribute_of_plain),
        )
        for attack in outcome.found.attribute
    ]  # fmt: skip
    if outcome.present is not None:
        rows.append(
            leak(
                name, PUBLIC, "membership", "which of two images was published",
                attack="published and restored alike, then the nearest of what was published",
                knows="the method and candidates", shared=outcome.present, baseline=0.5,
                ceiling=None if same else undefended.present,
            )
        )  # fmt: skip
    unlike = dssim(outcome.truth.originals, outcome.found.restored).numpy()
    rows.append(
        leak(
            name, PUBLIC, "reconstruction", "who can be recognised in what is restored",
            attack="restored, then named by a CNN of clean images", knows=owners, shared=outcome.named, baseline=chance,
            ceiling=None if same else undefended.named,
            measures={"dssim": mean(unlike, outcome.truth.owners)},
        )
    )  # fmt: skip
    return rows


def promise(name: str, asked: CallForPictures, shown: float | None) -> Promise:
    """Say what is proven of one publication by a method, and how much of it an audit has shown to be lost, a share."""
    guarantee = mechanism_of(asked).guarantee()
    labels = "the label of every picture is published as it is"
    if not np.isfinite(guarantee.epsilon):
        return Promise(method=name, proven=f"{NOTHING}; {labels}")
    tried = "" if shown is None else f"; an audit shows that {percent(shown, 0)} of this ε are lost at least"
    return Promise(
        method=name,
        proven=f"protects {guarantee.protects}; leaves open {guarantee.leaves_open}; {labels}{tried}",
        epsilon=guarantee.epsilon,
        delta=guarantee.delta,
        unit="a picture",
        neighbours=guarantee.neighbours,
    )


def score(scenario: PublishScenario, asked: CallForPictures, seen: Sequence[Gallery], outcome: Outcome) -> Scored:
    """Write down what came of one method.

    Args:
        asked: The call that reached owners, which names another mechanism than the scenario's where the curator cheats.
        seen: What the reader received, one gallery for each time the cloud asked.
    """
    mechanism, truth, found = mechanism_of(asked), outcome.truth, outcome.found
    rates: dict[str, float] = {}
    for guess in found.guesses:
        rates[guess.attack] = max(rates.get(guess.attack, 0.0), outcome.whose(guess).rate.value)
    places = np.arange(len(truth.owners))
    first = np.lexsort((places, truth.owners))
    sample = first[np.unique(truth.owners[first], return_index=True)[1][:SHOWN]]
    return Scored(
        MethodResult(
            mechanism=mechanism.description,
            settings={each.name: each.value for each in asked.settings},
            pictures=len(truth.owners),
            promise=_promise(mechanism.guarantee()),
            of_an_owner=_of_an_owner(mechanism, scenario, int(np.bincount(truth.owners).max())),
            of_all_pixels=_loss(mechanism.any_picture(scenario.owners.size, scenario.owners.size)),
            dssim=_mean(dssim(truth.originals, found.published)),
            dssim_restored=_mean(dssim(truth.originals, found.restored)),
            recognised=rates[CNN],
            recognised_restored=rates.get(RESTORED, rates[CNN]),
            useful=outcome.right.rate.value,
            useful_alike=outcome.right_alike.rate.value,
            audited=None if outcome.audited is None else round(outcome.audited, 6),
            digest=hashlib.sha256(b"".join(gallery.pictures.tobytes() for gallery in seen)).hexdigest(),
        ),
        truth.originals[sample], found.published[sample], found.restored[sample], truth.owners[sample],
    )  # fmt: skip


def _promise(guarantee: Guarantee) -> dict[str, str]:
    return {
        "neighbours": guarantee.neighbours,
        "protects": guarantee.protects,
        "leaves open": guarantee.leaves_open,
    }


def _of_an_owner(mechanism: Mechanism, scenario: PublishScenario, pictures: int) -> list[Loss]:
    """Return what is lost by one picture, and by all that an owner published, asked once or, by the careless, often."""
    once = mechanism.guarantee()
    careless = scenario.asks if "careless-publisher" in scenario.adversaries else 1
    counts = sorted({1, pictures, pictures * careless})
    losses = []
    for times in counts:
        together = once.repeated(times)
        best = together.epsilon
        if 0 < once.epsilon < 50 and together.delta == 0:
            best = optimal_composition(once.epsilon, times, scenario.delta)
        losses.append(
            _loss(together).model_copy(update={"pictures": times, "composed": best if np.isfinite(best) else None})
        )
    return losses


def _loss(guarantee: Guarantee) -> Loss:
    return Loss(
        pictures=1,
        epsilon=guarantee.epsilon if np.isfinite(guarantee.epsilon) else None,
        delta=guarantee.delta,
        composed=None,
    )


def _mean(values: Tensor) -> float:
    return float(values.mean())
