"""What a collector makes of representations: models for its tasks, and attacks.

None sees what is true of participants, or their pictures; `scoring` does. `trained` and `attack` are a workshop's jobs:
each takes a device first, then what was received, and draws from seeds alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simulations.runs.seeding import torch_generator
from simulations.workflows.crowdsource.world import Portraits
from strategies.learning.batches import Images, apply
from strategies.learning.fit import Plan
from strategies.pric.attacks import nearest, passport, presence, reverse, suspicion
from strategies.pric.encoding import encode
from strategies.pric.quantisation import quantise, restored
from strategies.pric.reading import read, read_both_ways, train_deep_reader, train_reader
from strategies.pric.training import Recipe, Trained, train_extractor

READING = Plan(epochs=8, batch=64, learning_rate=5e-3)
RECONSTRUCTION = Plan(epochs=4, batch=32, learning_rate=5e-3)
RECOGNITION = Plan(epochs=8, batch=64, learning_rate=5e-3)
SUSPECTS, REBUILT, RECOGNISED = 300, 400, 3000
"""Pictures looked up among those received, on either side; that are reconstructed; that people are learned from."""
FRESH, DEEP, ENSEMBLE = "a fresh classifier", "a deep classifier of mirrored ones as well", "the mean of both"


@dataclass(frozen=True, eq=False)
class Received:
    """What a collector received.

    Attributes:
        representations: (n, channels, h, w), in the order of participants.
        labels: (n, tasks) bool; what participants say of their pictures, true or not.
    """

    representations: Tensor
    labels: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What a collector has beside that.

    Attributes:
        public: Its own pictures, with all their attributes.
        fresh: (m, side, side, 3); pictures of other people, which it tries its models on.
        hide, tasks: Attributes.
        quantised: Whether representations are rounded to bytes before they are sent.
        budget: How many times as long its strongest attacker trains as well.
        seed: Of all that is drawn.
    """

    public: Portraits
    fresh: NDArray[np.uint8]
    hide: tuple[str, ...]
    tasks: tuple[str, ...]
    quantised: bool
    budget: int
    seed: int

    def arriving(self, trained: Trained, pictures: NDArray[np.uint8]) -> Tensor:
        """Return what arrives of pictures that an honest participant sends."""
        representations = encode(trained.extractor, pictures)
        return restored(quantise(representations)) if self.quantised else representations


@dataclass(frozen=True, eq=False)
class Clues:
    """What further attackers know of participants.

    Attributes:
        few: How many of the collector's own pictures each of some attackers learns from.
        leaked: (k, hide) bool; private attributes of the first pictures, which their owners told.
        firsts: (p,); places of one picture of each participant whose owner is known; the next place is attacked.
        suspects: (s, side, side, 3); pictures of which some were sent.
        suspected: (m, tasks) bool; labels of the fresh pictures, which are suspected of having been learnt from.
    """

    few: Sequence[int]
    leaked: NDArray[np.bool_]
    firsts: NDArray[np.int64]
    suspects: NDArray[np.uint8]
    suspected: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Guess:
    """What one attack says of private attributes.

    Attributes:
        source: ``public``: the collector's own pictures; ``leaked``: what some participants told of themselves.
        pictures: How many of them it learned from.
        budget: How many times as long it trained.
        logits: (v, hide); of the last v representations.
        frequencies: (hide,); of the attributes where it learned.
    """

    attack: str
    source: str
    pictures: int
    budget: int
    logits: NDArray[np.float64]
    frequencies: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Further:
    """What attacks say that take clues.

    Attributes:
        few: Of private attributes, by attackers that have few pictures, or leaked ones.
        pictures: (r, 3, side, side) in 0..1; what the first participants' pictures look like.
        named: (p,); whose picture comes after each of the known ones, by its number among them.
        learnt: (n + m,); how likely it is that a picture, received or fresh, was learnt from.
        sent: (s,); how likely each suspect was sent.
        recogniser: Of people, learnt from representations of the collector's pictures.
    """

    few: list[Guess]
    pictures: Tensor
    named: NDArray[np.int64]
    learnt: NDArray[np.float64]
    sent: NDArray[np.float64]
    recogniser: torch.nn.Module


@dataclass(frozen=True, eq=False)
class Findings:
    """What a collector makes of the representations by one extractor.

    Attributes:
        tasks, own: (m, tasks), (k, tasks); logits of its models of fresh pictures and of its own.
        frequencies: (tasks,); of what participants say of theirs.
        in_loop: (n, hide); logits of the classifier that the extractor was trained against.
        guesses: Of private attributes, by attackers that have all of the collector's pictures; the fresh one first.
        further: Where clues were given.
    """

    tasks: NDArray[np.float64]
    own: NDArray[np.float64]
    frequencies: NDArray[np.float64]
    in_loop: NDArray[np.float64]
    guesses: list[Guess]
    further: Further | None


def trained(
    device: torch.device, public: Portraits, hide: tuple[str, ...], recipe: Recipe, architecture: str, seed: int
) -> Trained:
    """Train an extractor. It draws from the seed alone, so that lambdas are compared like with like."""
    done = train_extractor(
        Images(public.images),
        torch.from_numpy(public.columns(hide)),
        recipe,
        torch_generator(seed, "extractor"),
        architecture=architecture,
        device=device,
    )
    return done.to(torch.device("cpu"))


def attack(
    device: torch.device, seen: Received, done: Trained, knows: Knowledge, clues: Clues | None = None,
    longer: bool = False,
) -> Findings:  # fmt: skip
    """Train models for the tasks, and attackers.

    Args:
        done: The extractor with what it was trained with.
        longer: Whether the strongest attacker is trained with the larger budget as well.
    """
    done.extractor.to(device)
    received = seen.representations
    own, fresh = (encode(done.extractor, pictures) for pictures in (knows.public.images, knows.fresh))
    known = knows.public.columns(knows.hide)
    generator = torch_generator(knows.seed, "readers")
    model = train_reader(received, torch.from_numpy(seen.labels), generator, READING, device=device)

    def guess(source: str, representations: Tensor, labels: NDArray[np.bool_], victims: Tensor) -> Guess:
        reader = train_reader(
            representations, torch.from_numpy(labels), generator, READING, strength="strong", device=device
        )
        return Guess(FRESH, source, len(labels), 1, read(reader, victims), labels.mean(0))

    few = [] if clues is None else [guess("public", own[:n], known[:n], received) for n in clues.few]
    if clues is not None and (told := len(clues.leaked)):
        few.append(guess("leaked", received[:told], clues.leaked, received[told:]))
    plain = guess("public", own, known, received)
    return Findings(
        tasks=read(model, fresh),
        own=read(model, own),
        frequencies=seen.labels.mean(0),
        in_loop=read(done.adversary.to(device), received),
        guesses=[plain, *_stronger(device, plain, own, known, received, knows, longer)],
        further=None if clues is None else _further(device, seen, done, knows, clues, few, model, own, fresh),
    )


def _stronger(
    device: torch.device, plain: Guess, own: Tensor, known: NDArray[np.bool_], received: Tensor, knows: Knowledge,
    longer: bool,
) -> list[Guess]:  # fmt: skip
    """Attack by deeper classifiers, once as long as usual, and where wanted once longer; and by all together."""
    generator = torch_generator(knows.seed, "deep reader")
    found, together = [], [plain.logits]
    for budget in (1, knows.budget) if longer and knows.budget > 1 else (1,):
        reader = train_deep_reader(own, torch.from_numpy(known), generator, budget=budget, device=device)
        logits = read_both_ways(reader, received)
        together.append(logits)
        for name, said in ((DEEP, logits), (ENSEMBLE, np.mean(together, axis=0))):
            found.append(Guess(name, "public", len(known), budget, said, plain.frequencies))
    return found


def _further(
    device: torch.device, seen: Received, done: Trained, knows: Knowledge, clues: Clues, few: list[Guess],
    model: torch.nn.Module, own: Tensor, fresh: Tensor,
) -> Further:  # fmt: skip
    received = seen.representations
    network = reverse(
        done.extractor, Images(knows.public.images), torch_generator(knows.seed, "reverse"), RECONSTRUCTION,
        device=device,
    )  # fmt: skip
    labels = torch.from_numpy(np.concatenate([seen.labels, clues.suspected]))
    recogniser = passport(
        own[:RECOGNISED], knows.public.persons[:RECOGNISED], torch_generator(knows.seed, "passport"), RECOGNITION,
        device=device,
    )  # fmt: skip
    firsts = clues.firsts
    return Further(
        few=few,
        pictures=apply(received[:REBUILT], network),
        named=nearest(recogniser, received[firsts], np.arange(len(firsts)), received[firsts + 1]),
        learnt=suspicion(model, torch.cat([received, fresh]), labels),
        sent=presence(received, knows.arriving(done, clues.suspects)),
        recogniser=recogniser.cpu(),
    )
