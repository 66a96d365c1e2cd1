"""A world from a scenario: a buyer, sellers with albums and prices, and the truth about all of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from parties.adversaries import ADVERSARIES, Adversary, Blackboard
from parties.adversaries.collusion import Colluder
from parties.adversaries.copies import Copies
from parties.album import Album, FolderImages, ObfuscatedAlbum, Pixels, read_folder
from parties.purchase.buyer import Buyer
from parties.purchase.seller import Seller
from parties.purchase.terms import COIN
from protocol.errors import BadInput, BadScenario
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID
from simulations.data.cohort import Cohort, draw_cohort
from simulations.data.partition import album_sizes, by_classes, by_dirichlet, by_person
from simulations.data.stock import UNLABELLED, CohortStock, Pile, Stock, folder_pile, stock
from simulations.reports.words import percent
from simulations.runs.seeding import numpy_generator, secret
from simulations.scenarios.adversaries import draw_adversaries, of_role
from simulations.workflows.purchase.scenario import AlbumSection, PriceSection, PurchaseScenario
from strategies.features.featurizer import Featurizer
from strategies.obfuscation import Obfuscation


@dataclass(frozen=True)
class Held:
    """A seller and what only the simulation knows about it.

    Attributes:
        labels: (n,); true class of each picture of its album, in the stock's numbering.
        adversary: The name of the cheat it plays.
        noise: Whether it holds only what nobody asked for.
    """

    party: Seller
    labels: NDArray[np.int64]
    adversary: str | None
    noise: bool


@dataclass(frozen=True)
class PurchaseWorld:
    """Everybody and everything in a scenario.

    Attributes:
        buyer_adversary: The name of the cheat it plays.
        sellers: The sellers, by index.
        samples: What the buyer shows.
        class_names: Names of the sellers' classes; empty where their pictures are unlabelled.
        wanted: Names of the classes that the buyer wants; None where nobody has said.
        notes: What a user should know about how the world was built.
        cohort: Of which sellers are the people, by number; None where they are the scenario's own.
    """

    buyer: Buyer
    buyer_adversary: str | None
    sellers: list[Held]
    samples: list[Pixels]
    class_names: tuple[str, ...]
    wanted: frozenset[str] | None
    notes: list[str]
    cohort: Cohort | None = None

    @property
    def apps(self) -> list[ClientApp]:
        """The parties, by node: the buyer, then the sellers."""
        return [self.buyer.client_app(), *(held.party.client_app() for held in self.sellers)]

    @property
    def names(self) -> dict[int, str]:
        """Every node's name, as in ``messages.jsonl``."""
        nodes = range(FIRST_NODE_ID + 1, FIRST_NODE_ID + 1 + len(self.sellers))
        return {SERVER_NODE_ID: "cloud", FIRST_NODE_ID: "buyer"} | {node_id: f"seller-{node_id}" for node_id in nodes}


def build(
    scenario: PurchaseScenario,
    featurizer: Featurizer,
    store: Path,
    adversaries: Mapping[str, Adversary] = ADVERSARIES,
    painted: Path | None = None,
) -> PurchaseWorld:
    """Build the world of a scenario.

    Args:
        featurizer: The public model.
        store: Where the buyer keeps what it buys.
        adversaries: The ways to cheat that the scenario chooses from.
        painted: A folder of this run's, where painted albums are kept for other processes; None: in memory alone.

    Raises:
        BadInput: When a folder or a data set cannot be used.
        BadScenario: When the scenario wants more classes than there are, or albums of persons whom nobody knows.
    """
    notes: list[str] = []
    unchecked = 1 - scenario.buyer.checked
    mean = scenario.sellers.price.mean
    stake = max(scenario.cloud.least_stake, scenario.cloud.stake * mean)
    if unchecked * mean > scenario.buyer.checked * stake:
        notes.append(
            f"Forged features pay: {percent(unchecked, digits=0)} of the images are not featurised again, and a seller "
            f"that is found out loses a stake of {stake:g} coins, where an image costs {mean:g}."
        )
    cohort = None if scenario.cohort is None else draw_cohort(scenario.cohort, scenario.seed)
    supply = _supply(scenario, notes, painted) if cohort is None else CohortStock(cohort)
    samples, wanted = _samples(scenario, supply, notes)
    sellers = list(_sellers(scenario, supply, wanted, featurizer, adversaries))
    if isinstance(supply, Pile) and supply.left and scenario.sellers.album.folder:
        notes.append(f"{supply.left} images are in no album: raise sellers.count or sellers.album.images.")
    if len(sellers) < scenario.sellers.count:
        notes.append(
            f"{len(sellers)} sellers are called, not {scenario.sellers.count} (sellers.count): there are no images for "
            "the others; lower sellers.album.images."
        )
    cheat = _buyers_cheat(scenario, adversaries)
    role = cast(type[Buyer], adversaries[cheat].cast(**scenario.adversaries[cheat].settings)) if cheat else Buyer
    buyer = role(
        secret(scenario.seed, "buyer"),
        samples,
        round(scenario.buyer.budget * COIN),
        scenario.buyer.quality,
        featurizer,
        store,
        scenario.buyer.checked,
        lasting=False,
        mechanism=None if scenario.buyer.mechanism is None else scenario.buyer.rule.name,
        agents=scenario.buyer.agents,
        ceiling=None if scenario.buyer.reserve is None else round(scenario.buyer.reserve * COIN),
    )
    return PurchaseWorld(buyer, cheat, sellers, samples, supply.class_names, wanted, notes, cohort)


def _supply(scenario: PurchaseScenario, notes: list[str], painted: Path | None) -> Stock:
    folder = scenario.sellers.album.folder
    if folder is None:
        return _stock(scenario, painted)
    pictures = _read(folder, "sellers.album.folder", notes)
    return folder_pile(pictures, scenario.seed)


def _stock(scenario: PurchaseScenario, painted: Path | None = None) -> Stock:
    return stock(scenario.dataset, scenario.seed, Path(scenario.data_root) if scenario.data_root else None, painted)


def _read(folder: str, key: str, notes: list[str]) -> FolderImages:
    pictures = read_folder(folder)
    notes += [f"{key}: {sentence}" for sentence in pictures.skipped_sentences()]
    return pictures


def _samples(scenario: PurchaseScenario, supply: Stock, notes: list[str]) -> tuple[list[Pixels], frozenset[str] | None]:
    """Return the sample pictures, and the names of the classes they show where these are known."""
    wish = scenario.buyer.samples
    if wish.folder is not None:
        pictures = _read(wish.folder, "buyer.samples.folder", notes)
        if len(pictures) > 1000:
            raise BadInput(f"buyer.samples.folder: {wish.folder} holds {len(pictures)} pictures; show at most 1000")
        named = {label for label in pictures.labels if label is not None}
        known = bool(named) and None not in pictures.labels and named <= set(supply.class_names)
        return [pictures[index] for index in range(len(pictures))], frozenset(named) if known else None
    source = _stock(scenario) if scenario.sellers.album.folder else supply
    names = source.class_names
    if wish.classes > len(names):
        raise BadScenario(f"buyer.samples.classes: {wish.classes} classes are wanted and there are {len(names)}")
    generator = numpy_generator(scenario.seed, "wish")
    wanted = generator.permutation(len(names))[: wish.classes]
    album, _ = source.take(np.resize(wanted, wish.count).astype(np.int64), "samples")
    return [album[index] for index in range(len(album))], frozenset(names[index] for index in wanted)


def _sellers(
    scenario: PurchaseScenario,
    supply: Stock,
    wanted: frozenset[str] | None,
    featurizer: Featurizer,
    adversaries: Mapping[str, Adversary],
) -> Iterator[Held]:
    section = scenario.sellers
    generator = numpy_generator(scenario.seed, "sellers")
    one_person = section.album.partition == "person"
    if one_person and not supply.shows_persons:
        raise BadScenario(
            "sellers.album.partition: person needs pictures of known persons: set dataset to faces or celeba"
        )
    sizes = album_sizes(section.count, *section.album.range, section.album.skew, generator)
    noise = _share(section.noise, section.count, generator)
    mixes = of_role(scenario.adversaries, adversaries, "seller")
    order = generator.permutation(scenario.sellers.count).tolist()
    cheats = draw_adversaries(order, mixes, numpy_generator(scenario.seed, "cheats"))
    roles = _roles(scenario, adversaries)
    boards = {name: Blackboard() for name in roles}
    sources: dict[int, NDArray[np.int64]] = {}
    classes = [
        _classes(supply, wanted, int(size), section.album, bool(noisy), generator)
        for size, noisy in zip(sizes, noise, strict=True)
    ]
    for index, (pictures, labels) in enumerate(supply.deal(classes, one_person)):
        if len(pictures) == 0:
            continue
        album = _shown(pictures, section.album, secret(scenario.seed, "seller", index))
        cheat = cheats.get(index)
        role = roles[cheat] if cheat else Seller
        costs = _prices(section.price, len(album), numpy_generator(scenario.seed, "prices", index))
        party = role(secret(scenario.seed, "seller", index), album, costs, featurizer)
        party.noise = section.noise_before_hashing
        sources[id(album)] = labels
        if cheat and isinstance(party, Colluder):
            party.join(boards[cheat])
        yield Held(party, _labels(party.album, sources), cheat, bool(noise[index]))


def _shown(album: Album, section: AlbumSection, own: bytes) -> Album:
    """Return what a seller with this secret makes of its pictures before it offers any."""
    return album if section.obfuscation is None else ObfuscatedAlbum(album, Obfuscation(section.obfuscation), own)


def _share(share: float, count: int, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Choose a share of all sellers, rounded to whole ones."""
    chosen = np.zeros(count, dtype=bool)
    chosen[generator.permutation(count)[: round(share * count)]] = True
    return chosen


def _roles(scenario: PurchaseScenario, adversaries: Mapping[str, Adversary]) -> dict[str, type[Seller]]:
    """Return who plays each cheat of a seller, as the scenario sets it."""
    return {
        name: cast(type[Seller], adversaries[name].cast(**mix.settings))
        for name, mix in scenario.adversaries.items()
        if adversaries[name].role == "seller"
    }


def _buyers_cheat(scenario: PurchaseScenario, adversaries: Mapping[str, Adversary]) -> str | None:
    """Choose the first cheat of a buyer that has a share; a drawn one has to come up."""
    generator = numpy_generator(scenario.seed, "buyer's cheat")
    for name, mix in scenario.adversaries.items():
        if adversaries[name].role == "buyer" and mix.share and (not mix.drawn or generator.random() < mix.share):
            return name
    return None


def _labels(album: Album, sources: Mapping[int, NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the true classes of an album's pictures; copies show what their originals do."""
    if not isinstance(album, Copies):
        return sources[id(album)]
    return np.resize(sources[id(album.original)], len(album))


def _classes(
    supply: Stock,
    wanted: frozenset[str] | None,
    size: int,
    section: AlbumSection,
    noisy: bool,
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """Draw the class of each picture of one album: wanted ones, or, of a noise seller, others (section VI.C)."""
    names = supply.class_names
    if not names:
        return np.full(size, UNLABELLED, dtype=np.int64)
    asked = [index for index, name in enumerate(names) if wanted is not None and name in wanted]
    other = [index for index in range(len(names)) if index not in asked]
    held = np.array((other if noisy else asked) or list(range(len(names))), dtype=np.int64)
    if section.partition == "dirichlet":
        return by_dirichlet(held, size, section.alpha, generator)
    if section.partition == "person":
        return by_person(held, size, generator)
    return by_classes(held, size, section.classes, generator)


def _prices(section: PriceSection, count: int, generator: np.random.Generator) -> list[int]:
    """Draw true costs in minor units, truncated below at the floor."""
    spread = section.variance**0.5
    if section.model == "identical":
        prices = np.full(count, section.mean)
    elif section.model == "uniform":
        prices = generator.uniform(section.mean - 3**0.5 * spread, section.mean + 3**0.5 * spread, count)
    else:
        prices = generator.normal(section.mean, spread, count)
    if section.each == "seller":
        prices = np.full(count, prices[:1])
    minor = np.rint(np.maximum(prices, section.floor) * COIN).astype(np.int64)
    return [max(1, int(price)) for price in minor]
