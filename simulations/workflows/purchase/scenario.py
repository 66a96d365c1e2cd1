"""Settings of a purchase scenario."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len
from pydantic import Field, field_validator, model_validator

from parties.purchase.terms import CloudSection, Coins
from protocol.errors import BadInput, nearest
from protocol.messages.purchase import Agents, Privacy, Quality
from protocol.mistakes import Misplaced
from protocol.settings import Section, Share
from simulations.data.phone_models import PHONES
from simulations.scenarios.base import Scenario
from simulations.scenarios.cohort import CohortSection
from simulations.scenarios.mechanisms import known_mechanism
from strategies.mechanisms import Mechanism
from strategies.mechanisms.selection import default_mechanism
from strategies.obfuscation import OBFUSCATIONS


class Samples(Section):
    """The buyer's sample pictures."""

    count: Annotated[int, Ge(1), Le(1000)] = Field(10, description="number of sample pictures, drawn from the data set")
    classes: Annotated[int, Ge(1)] = Field(3, description="number of wanted classes")
    folder: str | None = Field(None, description="my own sample pictures instead: all in this folder")


class BuyerSection(Section):
    """The buyer."""

    budget: Coins = Field(60.0, description="coins to spend, commission included")
    quality: Quality = Field(
        Quality.DIVERSITY,
        description="what to maximise: quantity, matching, diversity, or diversity-weighted, which counts area by how"
        " well it matches",
    )
    mechanism: str | None = Field(
        None,
        description="who wins and what winners are paid: a name (`parley list mechanisms`), or a .py file of your own,"
        " whose code runs; null: the quality's default",
    )
    agents: Agents = Field(
        Agents.IMAGES,
        description="what bids: images: each for itself; sellers: each with all its images that match, bought together",
    )
    reserve: Coins | None = Field(
        None, description="coins that an image may be paid at most (agents: sellers: on average); null: the budget"
    )
    checked: Share = Field(1.0, description="share of the bought images whose features are recomputed in verification")
    train: bool = Field(False, description="train a CNN on the bought pictures and report its accuracy")
    samples: Samples = Samples()

    @model_validator(mode="after")
    def _mechanism_serves(self) -> "BuyerSection":
        if self.mechanism is not None and (refusal := self.rule.refusal(self.quality, self.agents)):
            raise Misplaced(("mechanism",), refusal)
        return self

    @property
    def rule(self) -> Mechanism:
        """The mechanism.

        Raises:
            ValueError: When there is none of its name.
        """
        if self.mechanism is None:
            return default_mechanism(self.quality, self.agents)
        try:
            return known_mechanism(self.mechanism)
        except BadInput as error:
            raise Misplaced(("mechanism",), str(error)) from None


class AlbumSection(Section):
    """The pictures of each seller."""

    images: Annotated[int | tuple[int, int], Field(union_mode="left_to_right")] = Field(
        (1, 20), description="pictures per seller: a number, or a range [least, most] to draw from"
    )
    classes: Annotated[int, Ge(1)] = Field(2, description="number of classes of each seller")
    partition: Literal["classes", "dirichlet", "person"] = Field(
        "classes",
        description="classes: a few per seller; dirichlet: in random shares; person: several pictures of one person",
    )
    alpha: Annotated[float, Ge(0.01), Le(1e6)] = Field(
        0.5, description="for dirichlet: near 0 each seller has one class, large: equal shares of all classes"
    )
    skew: Annotated[float, Ge(0), Le(10)] = Field(
        0.0,
        description="an album has s pictures with a probability proportional to s^-skew; 0: uniform, 1.5: mostly small",
    )
    folder: str | None = Field(None, description="my own pictures instead, dealt out to the sellers")
    obfuscation: Literal[tuple(OBFUSCATIONS)] | None = Field(  # type: ignore[valid-type]
        None, description="obfuscation of every picture before it is offered, such as pixelize; null: none"
    )

    @property
    def range(self) -> tuple[int, int]:
        """Least and most pictures per seller."""
        return (self.images, self.images) if isinstance(self.images, int) else self.images

    @model_validator(mode="after")
    def _range_is_one(self) -> "AlbumSection":
        least, most = self.range
        if not 1 <= least <= most <= 10_000:
            raise ValueError(f"an album holds 1 to 10000 pictures, least first, not {self.images}")
        if self.obfuscation is not None and least < OBFUSCATIONS[self.obfuscation].images:
            needed = OBFUSCATIONS[self.obfuscation].images
            raise ValueError(
                f"{self.obfuscation} mixes {needed} pictures of an album: images has to be {needed} or more"
            )
        return self


class PriceSection(Section):
    """The value of pictures to sellers (section VI.C)."""

    model: Literal["identical", "uniform", "normal"] = Field("uniform", description="identical, uniform or normal")
    mean: Annotated[float, Gt(0), Le(10**6)] = Field(1.0, description="mean price of a picture, coins")
    variance: Annotated[float, Ge(0), Le(10**6)] = Field(0.4, description="variance of the price, coins squared")
    floor: Annotated[float, Ge(0.01), Le(10**6)] = Field(0.05, description="lowest price, coins")
    each: Literal["picture", "seller"] = Field(
        "picture", description="what has a price of its own: a picture, or a seller, who asks it for all its pictures"
    )


class SellersSection(Section):
    """The sellers."""

    count: Annotated[int, Ge(1), Le(1_000_000)] = Field(200, description="number of sellers")
    noise: Share = Field(0.3, description="share of sellers with unwanted classes only; the others have wanted ones")
    deposit: Coins = Field(20.0, description="coins of each seller, for stakes")
    noise_before_hashing: Annotated[float, Gt(0), Le(1)] | None = Field(
        None,
        description="planar Laplace noise on features before they become signatures (level2), drawn once per image:"
        " epsilon per lattice step, such as 0.0133; null: none",
    )
    album: AlbumSection = AlbumSection()
    price: PriceSection = PriceSection()


class LinkSection(Section):
    """The sellers' links; the buyer's is perfect."""

    drop: Share = Field(0.0, description="share of lost messages, questions and answers alike")
    duplicate: Share = Field(0.0, description="share of messages that arrive twice")
    delay: Annotated[float, Ge(0), Le(10**6)] = Field(
        0.0, description="mean delay of a message, seconds, exponential: messages overtake each other"
    )
    give_up: Annotated[float, Ge(0), Le(10**6)] = Field(
        10.0, description="seconds until a lost message is given up in steps without a deadline"
    )


class PhonesSection(Section):
    """The sellers' phones, in virtual time."""

    mix: dict[str, Share] = Field({"paper": 1.0}, description="phone models and their shares; `parley list` names them")
    patience: Annotated[float, Ge(1), Le(10**7)] = Field(
        86_400.0, description="seconds that sellers have to bid and to deliver, and the buyer to pay and to confirm"
    )
    link: LinkSection = LinkSection()

    @field_validator("mix")
    @classmethod
    def _mix_is_whole(cls, mix: dict[str, float]) -> dict[str, float]:
        for name in mix:
            if name not in PHONES:
                raise Misplaced((name,), f"there is no phone {name!r}; {nearest(name, PHONES)}")
        if abs(sum(mix.values()) - 1) > 1e-6:
            raise ValueError(f"the shares of phones add up to {sum(mix.values()):g}, not to 1")
        return mix


class SweepSection(Section):
    """Many purchases instead of one: several worlds for each share of noise sellers (section VI.C, Fig. 6)."""

    noise: Annotated[tuple[Share, ...], Len(1, 20)] = Field((0.1, 0.2, 0.3, 0.4, 0.5), description="shares of noise")
    seeds: Annotated[int, Ge(1), Le(100)] = Field(5, description="worlds for each share")


class PurchaseScenario(Scenario):
    """A purchase, or a sweep of many."""

    crowd = "seller"
    roles = ("buyer", "seller", "cloud")

    description: str = Field("A purchase on one machine, from request to payout.", description="one line about it")
    workflow: Literal["purchase"] = Field("purchase", description="the workflow")
    cloud: CloudSection = CloudSection()
    buyer: BuyerSection = BuyerSection()
    sellers: SellersSection = SellersSection()
    phones: PhonesSection = PhonesSection()
    collusion: tuple[Literal["cloud-buyer", "cloud-sellers", "key-substitution"], ...] = Field(
        (),
        description="collusion that the paper rules out: cloud-buyer (they combine their knowledge), cloud-sellers (the"
        " cloud favours some), key-substitution",
    )
    sweep: SweepSection | None = Field(
        None, description="many purchases instead of one: {noise: [shares of noise sellers], seeds: worlds for each}"
    )

    @classmethod
    def of_cohort(cls, cohort: CohortSection) -> Mapping[str, Any]:
        """Return the keys that follow from a cohort: each of its people is a seller, and wanted are images of all."""
        return {
            "dataset": "faces",
            "buyer.train": False,
            "buyer.samples.classes": 4,
            "sellers.count": cohort.people,
            "sellers.noise": 0.0,
            "sellers.album.images": cohort.pictures,
            "sellers.album.partition": "person",
        }

    @property
    def cheats(self) -> bool:
        """Whether anybody is to cheat, the cloud with others included."""
        return super().cheats or bool(self.collusion)

    def honest(self) -> "PurchaseScenario":
        """Return the same world, in which nobody cheats."""
        return self.model_copy(update={"adversaries": {}, "collusion": ()})

    @model_validator(mode="after")
    def _diversity_is_flat(self) -> "PurchaseScenario":
        if self.cloud.privacy is Privacy.BASIC and self.buyer.quality in (Quality.DIVERSITY, Quality.WEIGHTED):
            raise ValueError(
                "diversity needs features of two numbers, as the union of hypercubes in an fc8 vector's dimensions"
                " cannot be computed (section IV.D): for cloud.privacy basic set buyer.quality to quantity or matching"
            )
        return self

    @model_validator(mode="after")
    def _noise_is_hashed(self) -> "PurchaseScenario":
        if self.sellers.noise_before_hashing is not None and self.cloud.privacy is not Privacy.LEVEL2:
            raise ValueError(
                "sellers.noise_before_hashing is noise on what is hashed into signatures: set cloud.privacy to level2,"
                " or leave it out"
            )
        if self.sellers.noise_before_hashing is not None and self.cloud.arbitration == "paper":
            raise ValueError(
                "sellers.noise_before_hashing: the paper's arbitration looks for the very signature that noise changes:"
                " set cloud.arbitration to sound, or leave the noise out"
            )
        return self

    @model_validator(mode="after")
    def _a_sweep_expects_nothing(self) -> "PurchaseScenario":
        if self.sweep is not None and self.expect:
            raise ValueError("a sweep has no single outcome: leave out expect, or sweep")
        return self


SCENARIO = PurchaseScenario
