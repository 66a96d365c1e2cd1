"""What bought pictures are worth to who bought them: how good a CNN is that is trained on them (``buyer.train``)."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from parties.album import Pixels
from protocol.compute.ray_cluster import RayUnavailable
from protocol.compute.workshop import Workshop
from protocol.errors import GridUnavailable
from simulations.evaluation import Guesses, utility
from simulations.reports.evaluation import Utility
from simulations.runs.seeding import numpy_generator
from simulations.runs.workshops import finished
from simulations.workflows.purchase.report.model import PurchaseReport, Worth
from simulations.workflows.purchase.scoring import ScoredPurchase, Trade
from strategies.features.featurizer import prepare
from strategies.learning.classifier import classify, train_classifier

REPEATS = 3
"""CNNs per set of pictures, each from other initial weights."""
FEWEST = 4
"""Pictures with fewer are not worth training on, or testing with."""
MOST_TESTED = 500

Labels = NDArray[np.int64]


def with_worth(report: PurchaseReport, scored: ScoredPurchase, open_workshop: Callable[[], Workshop]) -> PurchaseReport:
    """Add to a report what the bought pictures are worth, or a note on why that cannot be told.

    Args:
        open_workshop: Opens where CNNs are trained.

    Raises:
        GridUnavailable: When there is no Ray, or no cluster at the scenario's address.
        RunFailed: When a CNN could not be trained.
    """
    try:
        with open_workshop() as workshop:
            found = worth(scored, workshop)
    except RayUnavailable as unavailable:
        raise GridUnavailable(str(unavailable)) from None
    if not isinstance(found, str):
        told, row = found
        return report.model_copy(update={"worth": told, "utility": [*report.utility, row]})
    return report.model_copy(update={"notes": [*report.notes, f"buyer.train: nothing was trained: {found}."]})


def worth(scored: ScoredPurchase, workshop: Workshop) -> tuple[Worth, Utility] | str:
    """Train CNNs on what was bought, and on as many pictures drawn at random from what matched, and test both.

    All of them are tested on the same pictures: half of those that show a wanted class, matched and were not bought
    (the paper's "unselected but matched images"). The other half, and what was bought, is what is drawn from. Bought
    pictures that show no wanted class are left out: the buyer sees that as it names them.

    Returns:
        The worth, and the row of it, or why there is nothing to train or to test.

    Raises:
        RunFailed: When a CNN could not be trained.
    """
    wanted = sorted(scored.world.wanted or ())
    if len(wanted) < 2:
        return "training needs two wanted classes with labels"
    matched = [trade for trade in scored.trades if trade.wanted and trade.offer.candidate]
    bought = [trade for trade in matched if trade.offer.paid]
    generator = numpy_generator(scored.scenario.seed, "worth")
    others = [trade for trade in matched if not trade.offer.won and trade.held.adversary is None]
    others = [others[index] for index in generator.permutation(len(others))]
    tested, rest = others[: (len(others) + 1) // 2][:MOST_TESTED], others[(len(others) + 1) // 2 :]
    if min(len(bought), len(tested)) < FEWEST:
        return f"{len(bought)} images to train on and {len(tested)} to test on are too few"
    pool = [*bought, *rest]
    random = [pool[index] for index in generator.permutation(len(pool))[: len(bought)]]
    test = _labelled(tested, scored, wanted)
    seeds = generator.integers(2**62, size=REPEATS).tolist()
    handles = [
        workshop.submit(train_and_test, *_labelled(trades, scored, wanted), *test, len(wanted), seed)
        for trades in (bought, random)
        for seed in seeds
    ]
    ends = finished(workshop, handles, "training on what was bought")
    bought_rightly, random_rightly = (
        np.mean([end.result() for end in some], axis=0) for some in (ends[:REPEATS], ends[REPEATS:])
    )
    told = Worth(
        pictures=len(bought),
        tested=len(tested),
        classes=len(wanted),
        bought=float(bought_rightly.mean()),
        random=float(random_rightly.mean()),
        trained=len(ends),
        device=" and ".join(sorted({end.device for end in ends})),
    )
    right = Guesses.of(bought_rightly, [trade.offer.seller for trade in tested])
    majority = float(np.bincount(test[1]).max()) / len(tested)
    method = str(scored.scenario.cloud.privacy)
    return told, utility(
        method, "the class of other matched images, by a CNN trained on what was bought", right, majority, None
    )


def train_and_test(
    device: torch.device,
    pictures: NDArray[np.uint8],
    labels: Labels,
    test_pictures: NDArray[np.uint8],
    test_labels: Labels,
    classes: int,
    seed: int,
) -> NDArray[np.bool_]:
    """Return of which test pictures a CNN names the class that was trained on others, (n,): a workshop's job."""
    network = train_classifier(pictures, labels, classes, torch.Generator().manual_seed(seed), device=device)
    return np.asarray(classify(network, test_pictures) == test_labels)


def _labelled(
    trades: Sequence[Trade], scored: ScoredPurchase, wanted: Sequence[str]
) -> tuple[NDArray[np.uint8], Labels]:
    """Return pictures, (n, 64, 64, 3), and the positions of their classes in `wanted`."""
    names = scored.world.class_names
    labels = [wanted.index(names[int(trade.held.labels[trade.image])]) for trade in trades]
    pictures: list[Pixels] = [prepare(trade.picture) for trade in trades]
    return np.stack(pictures), np.array(labels, dtype=np.int64)
