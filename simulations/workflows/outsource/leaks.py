"""The common rows of a report on outsourced training: what each setting leaks, is worth, and what is proven of it."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from simulations.evaluation import Guesses, leak, proportion, utility
from simulations.reports.evaluation import NOTHING, Criterion, Estimate, Leak, Promise, Utility
from simulations.reports.model import Seen
from simulations.reports.words import count
from simulations.workflows.outsource.attacks import ATTACKS, PublicKnowledge
from simulations.workflows.outsource.scores import AS_SENT, DELTA, SHOWN_EPSILON, Guessed
from simulations.workflows.outsource.tradeoff import Point
from simulations.workflows.outsource.world import Labelled
from strategies.obfuscation import Obfuscation
from strategies.obfuscation.guarantee import mixing_epsilon

SERVICE = "the service"
ABOUT: dict[str, tuple[Criterion, str]] = {
    "label": ("inference", "the label of the image that is not labelled"),
    "attribute": ("inference", "the class of the dominant image, given its label"),
    "cnn": ("inference", "the class of the dominant image"),
    "membership": ("membership", "whether an image is among the owner's"),
}
RESTORED: tuple[Criterion, str] = ("reconstruction", "the class that can be recognised in what is restored")


def method_of(setting: Obfuscation) -> str:
    """Return the name of a setting.

    Examples:
        >>> method_of(Obfuscation("noise-mix", (0.75, 0.25), 20)), method_of(Obfuscation("mix", "distorting"))
        ('noise-mix-75-25-20', 'mix-distorting')
    """
    weights = setting.weights or setting.info.weights
    parts = [weights] if isinstance(weights, str) else [f"{100 * each / sum(weights):.0f}" for each in weights]
    if parts == ["100"]:
        parts = []
    elif len(set(parts)) == 1 and len(parts) > 4:
        parts = [f"{len(parts)}-alike"]
    return "-".join([setting.technique, *parts, *(f"{each:g}" for each in setting.strengths.values())]).replace(
        ".", "_"
    )


def leaks(
    method: str, guesses: Mapping[tuple[str, float], Guessed], public: PublicKnowledge, private: str | None = None
) -> Iterator[Leak]:
    """Score all attacks on one setting.

    Args:
        private: What tells classes of one label apart, where it is one attribute.
    """
    learnt = f"{count(len(public.images), 'public image')} with their classes"
    for (name, budget), each in guesses.items():
        criterion, what = ABOUT.get(name, RESTORED)
        if name == "attribute" and private is not None:
            what = f"whether the dominant image shows {private}, given its label"
        title, knows = "None: a CNN for clean images", ""
        if name != AS_SENT:
            title, knows = ATTACKS[name].title, ATTACKS[name].knows
        if criterion == "reconstruction":
            knows = f"{knows}; {learnt}" if knows else learnt
        yield leak(
            method, SERVICE, criterion, what, attack=title, knows=knows, budget=budget, shared=each.shared,
            baseline=each.baseline, ceiling=each.undefended, measures=each.measures,
        )  # fmt: skip


def pictures_seen(methods: Sequence[tuple[Obfuscation, Mapping[tuple[str, float], Guessed]]]) -> dict[str, Seen]:
    """Return what is restored of the first people with each setting, by the attack of which most is recognised."""
    shown = {}
    for setting, guesses in methods:
        tried = {name: each for (name, _), each in guesses.items() if each.restored}
        if tried:
            best = max(tried, key=lambda name: tried[name].shared.rate.value)
            attack = "as sent" if best == AS_SENT else ATTACKS[best].title
            shown[method_of(setting)] = Seen(SERVICE, attack, tried[best].restored)
    return shown


def worth(method: str, point: Point, clean: Point, tests: Labelled, majority: float) -> Utility:
    """Return what a model trained with a setting is worth.

    Args:
        point, clean: Trained with the setting, and on clean images.
        tests: What it was tested on.
    """

    def right(each: Point) -> Guesses | Estimate:
        if each.right is None:
            return proportion(np.arange(len(tests.tasks)) < round(each.accuracy * len(tests.tasks)))
        return Guesses.of(each.right, tests.persons)

    return utility(method, "the task, on clean test images", right(point), majority, right(clean))


def promise(
    setting: Obfuscation, pixels: int, epochs: int, plain: bool, guesses: Mapping[tuple[str, float], Guessed]
) -> Promise:
    """Say what is proven of all epochs of a setting together, and what membership inference proves to be lost.

    Args:
        pixels: Of an image.
        plain: Whether images are grouped at random and obfuscated everywhere, each once in an epoch.
    """
    method, label = method_of(setting), setting.info.label
    labels = {
        "dominant": "the label of the dominant image goes to the service in the clear",
        "shares": "the share of every label goes to the service in the clear",
        "noisy": "the label that is sent is covered by the noise",
    }[label]
    if ("membership", 1) in guesses:
        shown = guesses["membership", 1].measures[SHOWN_EPSILON]
        labels += (
            f"; membership by correlation shows that epsilon is at least {shown.value:.2f} for an image in all epochs"
            f" (one run, {count(shown.n, 'candidate')}, 95 % confidence)"
        )
    weights = setting.weights or setting.info.weights
    alike = isinstance(weights, tuple) and len(set(weights)) == 1
    if setting.technique != "dp-mix" or not plain or not alike:
        return Promise(method=method, proven=f"{NOTHING}; {labels}")
    epsilon = mixing_epsilon(setting.strengths["sigma"], setting.images, pixels, epochs, DELTA)
    return Promise(
        method=method,
        proven=f"differential privacy of all {count(epochs, 'epoch')} together; {labels}",
        epsilon=epsilon,
        delta=DELTA,
        unit="an image and its label",
        neighbours="two sets of images that differ in one",
    )
