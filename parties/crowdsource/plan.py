"""Training plans as messages, signed by a collector."""

from collections.abc import Collection

from protocol.crypto.signing import SigningKey, verify
from protocol.encoding.canonical import canonical, digest
from protocol.errors import ProtocolError
from protocol.messages.crowdsource import SignedTrainingPlan, TrainingPlan
from strategies.pric.information import BOUNDS
from strategies.pric.networks import EXTRACTORS, SCALE
from strategies.pric.training import Recipe

PURPOSE = "training plan"


def sign_plan(plan: TrainingPlan, key: SigningKey) -> SignedTrainingPlan:
    """Sign a plan."""
    return SignedTrainingPlan(plan=plan, signature=key.sign(PURPOSE, canonical(plan)))


def plan_is_by(collector: bytes, signed: SignedTrainingPlan) -> bool:
    """Whether the holder of a public key has signed this."""
    return verify(collector, PURPOSE, canonical(signed.plan), signed.signature)


def training_of(plan: TrainingPlan) -> str:
    """Return the name of this training's sums."""
    return digest(plan).hex()


def recipe_of(plan: TrainingPlan) -> Recipe:
    """Return the recipe.

    Raises:
        ProtocolError: When a name in the plan is not known here.
    """
    known: Collection[str]
    for what, name, known in (("extractor", plan.architecture, EXTRACTORS), ("bound", plan.bound, BOUNDS)):
        if name not in known:
            raise ProtocolError(f"there is no {what} {name!r} here; there are {', '.join(known)}")
    if plan.side % SCALE:
        raise ProtocolError(f"sides of pictures are divisible by {SCALE}, and {plan.side} is not")
    return Recipe(
        weight=plan.weight,
        bound=plan.bound,
        conditional=plan.conditional,
        ascent=plan.ascent,
    )
