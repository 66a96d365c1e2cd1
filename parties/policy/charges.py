"""What each question asks of a party: refused by its policy, or an answer that tells so much of each subject."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from parties.federate.client import Client, question, read_round
from parties.outsource.owner import Owner
from parties.party import Party
from parties.policy.ledger import EVERYBODY, Kind, Release
from parties.policy.settings import WORKFLOWS, Federating, Policy, Publishing, Way
from parties.publish import publisher
from parties.publish.publisher import Publisher
from parties.purchase.seller import Seller
from protocol.encoding.codec import decode
from protocol.errors import PolicyRefusal
from protocol.messages.federate import TrainCall
from protocol.messages.outsource import NextPart
from protocol.messages.publish import CallForPictures
from protocol.messages.purchase import CallForBids
from strategies.dp_images import DPPix, Mechanism, Snow
from strategies.learning.weights import Weights
from strategies.pixels import to_tensor
from strategies.privacy.composition import Loss, dp_sgd, gaussian, pure


def charges(party: Party, kind: str, content: Any, policy: Policy) -> list[Release]:
    """Return what an answer tells.

    Args:
        kind: The message type, such as ``query.publish``.
        content: Records that hold the question.

    Raises:
        PolicyRefusal: When the policy does not allow an answer.
    """
    workflow = WORKFLOWS.get(party.role)
    if workflow is not None and workflow not in policy.workflows:
        taken = ", ".join(policy.workflows) or "nothing"
        raise PolicyRefusal(f"{kind} is of the workflow {workflow}, and this party takes part in {taken}")
    if kind == "train" and isinstance(party, Client):
        return _round(party, policy.federate, *read_round(party, content))
    step = kind.removeprefix("query.")
    rule = next((rule for (role, asked), rule in _RULES.items() if asked == step and isinstance(party, role)), None)
    return [] if rule is None else rule(party, decode(content, party.questions()[step]), policy)


def _publication(party: Publisher, call: CallForPictures, policy: Policy) -> list[Release]:
    used = publisher.mechanism_of(call)
    loss = _loss(call.mechanism, used, policy.publish)
    releases = []
    for _, picture in party.chosen(call):
        pixels = to_tensor([picture])[0].contiguous()
        asked = publisher.question(used, pixels)
        releases += _told(party, [hashlib.sha256(repr(asked[1]).encode() + asked[2]).digest()], asked, repr(used), loss)
    return releases


def _loss(name: str, used: Mechanism, rules: Publishing) -> Loss | None:
    """Return what publishing one picture tells, for as many pixels as the policy protects."""
    if name not in rules.mechanisms:
        allowed = ", ".join(rules.mechanisms) or "nothing"
        raise PolicyRefusal(f"pictures were asked for by {name}, and this party publishes by {allowed}")
    if isinstance(used, DPPix):
        epsilon = used.epsilon * rules.changed / used.changed
        if epsilon > rules.epsilon:
            raise PolicyRefusal(
                f"a picture was asked for at epsilon {epsilon:.4g} for {rules.changed} pixels, and {rules.epsilon:g} is"
                " allowed"
            )
        return pure(epsilon)
    if isinstance(used, Snow):
        return pure(0.0, 1 - (1 - used.delta) ** rules.changed)
    if not rules.unprotected:
        raise PolicyRefusal(f"pictures were asked for by {name}, which promises nothing of what they show")
    return None


def _addition(party: Client, call: TrainCall, policy: Policy) -> list[Release]:
    model, config = party.called_for(call)
    _allow(policy.federate, "sum")
    return [_answered(party, "sum", model, config, call.round.training, call.round.number)]


def _round(
    party: Client, rules: Federating, model: Weights, config: Mapping[str, float], training: str
) -> list[Release]:
    sigma = config.get("sigma", 0.0)
    way: Way = "private" if sigma > 0 else "plain"
    _allow(rules, way)
    releases = [_answered(party, way, model, config, training, int(config.get("server-round", 0)))]
    if way == "plain":
        return releases
    if sigma < rules.sigma:
        raise PolicyRefusal(f"a sigma of {sigma:.4g} was asked for, and {rules.sigma:g} is the least that is allowed")
    image, person = _training(party, config)
    asked = [*question(model, config), party.pictures.tobytes(), party.persons.tobytes()]
    what = f"DP-SGD(sigma={sigma:g}, sampling_rate={config['sampling-rate']:g}, steps={int(config['steps'])})"
    return releases + _told(party, [], asked, what, image, person)


def _training(party: Client, config: Mapping[str, float]) -> tuple[Loss, Loss]:
    """Return what DP-SGD tells of an image, and of a person."""
    sigma, rate, steps = config["sigma"], config["sampling-rate"], int(config["steps"])
    if "per-person" in config:
        # To change one image moves a person's clipped gradient by two norms at most, in batches that have the person.
        return gaussian(sigma / 2, steps), dp_sgd(sigma, rate, steps)
    persons = party.persons[: int(config.get("pictures", len(party.persons)))]
    most = int(np.unique(persons, return_counts=True)[1].max(initial=1))
    return dp_sgd(sigma, rate, steps), dp_sgd(sigma, rate, steps, most)


def _allow(rules: Federating, way: Way) -> None:
    if way not in rules.ways:
        names = {"plain": "as it is", "private": "with noise", "sum": "in a secure sum"}
        allowed = " or ".join(names[each] for each in rules.ways) or "in no way"
        raise PolicyRefusal(f"an update was asked for {names[way]}, and this party sends it {allowed}")


def _answered(
    party: Party, way: Way, model: Weights, config: Mapping[str, float], training: str, number: int
) -> Release:
    round = hashlib.sha256(number.to_bytes(8, "big", signed=True) + training.encode()).digest()
    asked = party.derive("policy", way, *question(model, config))
    return Release("round", round, asked, f"round {number} of training {training!r}, answered by {way}")


def _told(
    party: Party,
    images: Sequence[bytes],
    question: Sequence[str | bytes],
    what: str,
    image: Loss | None,
    person: Loss | None = None,
) -> list[Release]:
    """Return what a release tells of images, of people, and for the party's life.

    Who is in a picture is not known to all parties: everybody may be in each. The question's hash is keyed by the
    party's secret, on which its noise depends.

    Args:
        images: Hashes of their pixels; none: it tells of all.
        person: None: as of an image.
    """
    asked = party.derive("policy", *question)
    subjects: list[tuple[Kind, bytes, Loss | None]] = [("image", each, image) for each in images or [EVERYBODY]]
    about = image if person is None else person
    subjects += [("person", EVERYBODY, about), ("life", EVERYBODY, about)]
    return [Release(kind, subject, asked, what, loss) for kind, subject, loss in subjects]


def _part(party: Owner, asked: NextPart, policy: Policy) -> list[Release]:
    if asked.epoch >= policy.outsource.epochs:
        raise PolicyRefusal(
            f"epoch {asked.epoch + 1} was asked for, and this party publishes its images in {policy.outsource.epochs}"
        )
    return []


def _bids(party: Seller, call: CallForBids, policy: Policy) -> list[Release]:
    if call.terms.privacy not in policy.purchase.privacy:
        allowed = " or ".join(policy.purchase.privacy) or "no level"
        raise PolicyRefusal(f"bids were asked for under {call.terms.privacy}, and this party bids under {allowed}")
    return []


_RULES: dict[tuple[type[Party], str], Callable[[Any, Any, Policy], list[Release]]] = {
    (Publisher, "publish"): _publication,
    (Client, "add"): _addition,
    (Owner, "publish"): _part,
    (Seller, "bid"): _bids,
}
"""By role and step."""
