"""What the public makes of publications: attacks on what the reader received, with what everybody knows.

None sees the truth about what was published; `scoring` does. Each is a workshop's job: it takes a device first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protocol.messages.publish import Gallery
from simulations.runs.seeding import stream, torch_generator
from simulations.workflows.publish.world import Labelled
from strategies.dp_images import Mechanism
from strategies.dp_images.attacks import colours, combined, recogniser, restorer
from strategies.dp_images.audit import audited
from strategies.learning.classifier import classify, train_classifier
from strategies.pixels import to_pictures, to_tensor

MORE = 4
"""How many times as much training the larger budget is."""
Classes = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Of pictures as they are, and published alike."""
TRIES = 4
"""Publications of a candidate that are averaged."""
CNN = "a CNN on images as published"
RESTORED = "restored first, then a CNN"


@dataclass(frozen=True)
class Knowledge:
    """What attackers of one method know.

    Attributes:
        method, mechanism: By which owners published.
        known: Other images of the owners.
        strangers: Images of other people, and who has the attribute.
        owners: How many there are.
        asks: How often the cloud asked for the same.
        epochs: Of training.
        seed: Of all that is drawn.
    """

    method: str
    mechanism: Mechanism
    known: Labelled
    strangers: Labelled
    owners: int
    asks: int
    epochs: int
    seed: int


@dataclass(frozen=True)
class Guess:
    """What one attack says of the published pictures, in their order.

    Attributes:
        budget: How many times as much training it had.
        owners: (n,) whose they are.
    """

    attack: str
    budget: int
    owners: NDArray[np.int64]


@dataclass(frozen=True)
class Findings:
    """What attackers make of one method.

    Attributes:
        published, restored: (n, channels, size, size) uint8; what was published, put together, and undone.
        guesses: Whose pictures they are; by looks at what is published, at what is restored of it, if anything can be,
            and at that with a larger budget.
        named: (n,) whom a recogniser names that was trained on clean images alone, in the restored pictures.
        attribute: (n,) bool by attack; whether they show who has the attribute.
    """

    published: Tensor
    restored: Tensor
    guesses: list[Guess]
    named: NDArray[np.int64]
    attribute: dict[str, NDArray[np.bool_]]


@dataclass
class _Treatment:
    """How images are published, and treated by the attacker, with noise that is drawn as the treatment goes on."""

    knows: Knowledge
    restore: Callable[[Tensor], Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.restore = restorer(self.knows.mechanism, self.knows.strangers.pictures)
        self._stream = stream(self.knows.seed, "attack", self.knows.method)

    def publish(self, pictures: Tensor) -> Tensor:
        """Publish as owners do; where it was asked often, every second picture as the careless do."""
        mechanism, asks = self.knows.mechanism, self.knows.asks
        once = mechanism.publish(pictures, self._stream)
        if asks == 1:
            return once
        again = [mechanism.publish(pictures[::2], self._stream) for _ in range(asks - 1)]
        mixed = once.clone()
        mixed[::2] = combined(mechanism, [once[::2], *again])
        return mixed

    def publish_and_restore(self, pictures: Tensor) -> Tensor:
        """Publish, and undo what can be undone."""
        return self.restore(self.publish(pictures))


def put_together(mechanism: Mechanism, seen: Sequence[Gallery]) -> Tensor:
    """Combine what was published each time the cloud asked, (n, channels, size, size) uint8."""
    return combined(mechanism, [to_tensor(np.array(each.pictures)).contiguous() for each in seen])


def attack(device: torch.device, seen: Sequence[Gallery], knows: Knowledge) -> Findings:
    """Restore what was published by one method, say whose each picture is, and who has an attribute; a job.

    Args:
        seen: What the reader received, one gallery for each time the cloud asked.
    """
    treatment, generator = _Treatment(knows), torch_generator(knows.seed, "attack", knows.method)
    published = put_together(knows.mechanism, seen)
    restored = treatment.restore(published)
    known, strangers, epochs = knows.known, knows.strangers, knows.epochs
    looks = [(CNN, treatment.publish, published)]
    if not torch.equal(restored, published):
        looks.append((RESTORED, treatment.publish_and_restore, restored))

    def who(treat: Callable[[Tensor], Tensor], pictures: Tensor, budget: int = 1) -> NDArray[np.int64]:
        network = recogniser(
            known.pictures, known.persons, knows.owners, treat, generator, copies=budget, epochs=epochs
        )
        return classify(network, colours(pictures))

    guesses = [Guess(name, 1, who(treat, pictures)) for name, treat, pictures in looks]
    name, treat, pictures = looks[-1]
    guesses.append(Guess(name, MORE, who(treat, pictures, MORE)))
    told = {}
    for name, treat, pictures in looks:
        has = strangers.private.astype(np.int64)
        network = recogniser(strangers.pictures, has, 2, treat, generator, epochs=epochs)
        told[name] = classify(network, colours(pictures)) == 1
    return Findings(published, restored, guesses, who(lambda clean: clean, restored), told)


def presence(
    device: torch.device, seen: Sequence[Gallery], knows: Knowledge, candidates: Tensor
) -> NDArray[np.float64]:
    """Say how like the nearest of what was published each candidate is, if it is published and restored, too; a job.

    Args:
        candidates: (n, 3, size, size) uint8.

    Returns:
        (n,), correlations of pixels, each with the mean of several publications.
    """
    treatment = _Treatment(knows)
    restored = treatment.restore(put_together(knows.mechanism, seen))
    tries = torch.stack([treatment.publish_and_restore(candidates).float() for _ in range(TRIES)]).mean(0)
    found: NDArray[np.float64] = (_standardised(tries) @ _standardised(restored).T).max(1).values.double().numpy()
    return found


def _standardised(pictures: Tensor) -> Tensor:
    """Return pictures as rows of mean 0 and length 1."""
    rows = pictures.float().flatten(1)
    return torch.nn.functional.normalize(rows - rows.mean(1, keepdim=True))


def learn(device: torch.device, seen: Sequence[Gallery], knows: Knowledge, fresh: Tensor) -> Classes:
    """Train a classifier on what was published and its labels; a job.

    Args:
        fresh: (m, 3, size, size) uint8, pictures of people in no training set.

    Returns:
        Its classes of the fresh pictures, as they are and published alike; each (m,).
    """
    treatment, generator = _Treatment(knows), torch_generator(knows.seed, "learn", knows.method)
    published = put_together(knows.mechanism, seen)
    network = train_classifier(to_pictures(published), np.array(seen[0].labels), 2, generator, epochs=knows.epochs)
    return classify(network, to_pictures(fresh)), classify(network, to_pictures(treatment.publish(fresh)))


def audit(device: torch.device, method: str, mechanism: Mechanism, seed: int) -> float | None:
    """Return how much of the promised epsilon an audit of neighbours shows to be lost, as a share; a job."""
    return audited(mechanism, stream(seed, "audit", method))
