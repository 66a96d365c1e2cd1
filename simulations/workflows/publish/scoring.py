"""What publications are worth, and what the public makes of them, scored against the truth."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from parties.publish.publisher import mechanism_of
from parties.publish.workflow import Collection
from protocol.messages.publish import CallForPictures, Gallery
from simulations.workflows.publish.attacks import Attackers
from simulations.workflows.publish.report import Loss, MethodResult
from simulations.workflows.publish.scenario import PublishScenario
from simulations.workflows.publish.world import People, owner_of
from strategies.dp_images import Guarantee, Mechanism
from strategies.dp_images.attacks import recognised
from strategies.learning.classifier import classify
from strategies.pixels import to_pictures
from strategies.privacy.accounting import optimal_composition
from strategies.scores.privacy_scores import dssim

SHOWN = 6
"""Pictures of each method that the report shows."""


@dataclass(frozen=True)
class Scored:
    """A method's numbers, and pictures to look at.

    Attributes:
        originals, published, restored: (k, 3, size, size) uint8; a few pictures, the same ones for each method.
    """

    result: MethodResult
    originals: Tensor
    published: Tensor
    restored: Tensor


def weakest(asked: Sequence[CallForPictures], scenario: PublishScenario) -> CallForPictures:
    """Return the call that protects a whole picture least, and its neighbours least where that says nothing."""

    def lost(call: CallForPictures) -> tuple[float, ...]:
        asked = mechanism_of(call)
        whole, near = asked.any_picture(scenario.owners.size, scenario.owners.size), asked.guarantee()
        return whole.epsilon, whole.delta, near.epsilon, near.delta

    return max(asked, key=lost)


def score(
    device: torch.device,
    name: str,
    scenario: PublishScenario,
    people: People,
    asked: CallForPictures,
    collections: Sequence[Collection],
    seen: Sequence[Gallery],
) -> Scored:
    """Attack what the reader has seen of one method, and compare with the truth; a job.

    Args:
        name: Of the method.
        scenario, people: The truth.
        asked: The call that reached owners, which names another mechanism than the scenario's where the curator cheats.
        collections: Whose pictures they are, one entry for each time that it was asked.
        seen: What the reader received, in the same order.
    """
    mechanism = mechanism_of(asked)
    attackers = Attackers(scenario, name, mechanism, people.known, people.strangers)
    published = attackers.combine(seen)
    restored = attackers.restore(published)
    owners = owner_of(collections[0].owners)
    originals = people.albums.pictures[owners * scenario.owners.pictures + collections[0].places]
    rates = [
        recognised(attackers.recogniser(restoring=restoring), pictures, owners)
        for restoring, pictures in ((False, published), (True, restored))
    ]
    learner = attackers.learn(published, np.array(seen[0].labels))
    fresh = people.fresh
    useful = [
        (classify(learner, to_pictures(pictures)) == fresh.labels).mean()
        for pictures in (fresh.pictures, attackers.publish_alike(fresh.pictures))
    ]
    first = np.lexsort((collections[0].places, owners))
    sample = first[np.unique(owners[first], return_index=True)[1][:SHOWN]]
    return Scored(
        MethodResult(
            mechanism=mechanism.description,
            settings={each.name: each.value for each in asked.settings},
            pictures=len(owners),
            promise=_promise(mechanism.guarantee()),
            of_an_owner=_of_an_owner(mechanism, scenario, int(np.bincount(owners).max())),
            of_all_pixels=_loss(mechanism.any_picture(scenario.owners.size, scenario.owners.size)),
            dssim=_mean(dssim(originals, published)),
            dssim_restored=_mean(dssim(originals, restored)),
            recognised=rates[0],
            recognised_restored=rates[1],
            useful=float(useful[0]),
            useful_alike=float(useful[1]),
            digest=hashlib.sha256(b"".join(gallery.pictures.tobytes() for gallery in seen)).hexdigest(),
        ),
        originals[sample], published[sample], restored[sample],
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
    for count in counts:
        together = once.repeated(count)
        best = together.epsilon
        if 0 < once.epsilon < 50 and together.delta == 0:
            best = optimal_composition(once.epsilon, count, scenario.delta)
        losses.append(
            _loss(together).model_copy(update={"pictures": count, "composed": best if np.isfinite(best) else None})
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
