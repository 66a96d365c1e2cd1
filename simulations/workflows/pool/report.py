"""What ``report.json`` says of a pool."""

from pydantic import BaseModel, ConfigDict

from simulations.reports.model import RunReport
from strategies.scores.image_quality import Disclosure

SCHEMA_VERSION = 2


class Shown(BaseModel):
    """What reconstructions show of the originals, means over images; see `strategies.scores.image_quality.Disclosure`.

    ``recognised`` is the share of which a recogniser, trained on public images alone, names the class; ``lpips`` is
    there where its weights are (`simulations.workflows.pool.perceptual`).
    """

    model_config = ConfigDict(frozen=True)

    l1: float
    psnr: float
    ssim: float
    ssim_of_negative: float
    recognised: float
    lpips: float | None = None

    @property
    def either_polarity(self) -> float:
        """The larger SSIM over the image and its negative."""
        return max(self.ssim, self.ssim_of_negative)

    @classmethod
    def of(cls, found: Disclosure, recognised: float, lpips: float | None) -> "Shown":
        """Write a disclosure down."""
        values = (found.l1, found.psnr, found.ssim, found.ssim_of_negative, recognised)
        rounded = dict(zip(cls.model_fields, (round(value, 6) for value in values), strict=False))
        return cls(**rounded, lpips=None if lpips is None else round(lpips, 4))


class Attack(BaseModel):
    """What one attacker makes of poisoned features, and of clean ones for comparison.

    Attributes:
        kind: ``published``, ``unseen``, ``pairs``, ``modules``, ``aligned``, ``loss`` or ``obfuscator``.
        knows: What it has beside the pool and what is public.
        pairs: How many leaked pairs it has.
        clean: From features that were not protected.
        protected: From those that were.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    kind: str
    knows: str
    pairs: int = 0
    clean: Shown | None
    protected: Shown


class EntityAccount(BaseModel):
    """One entity.

    Attributes:
        late, published: Whether it joined late; whether it pre-trained.
        clean, poisoned: Accuracy of the published decider on clean and on this entity's poisoned features of fresh
            images.
        ssim, ssim_of_negative: What the published reconstructor makes of its pooled features.
        alone: Accuracy of a network trained on its own images, end to end.
        control: Of a decider refined on its own clean features alone.
        as_is: Of the published network.
        pooled: Of the one that it refined on others' features as well.
        used, doubted: Features of others.
        refused: Why the pool did not take its features.
    """

    model_config = ConfigDict(frozen=True)

    party: str
    adversary: str | None
    images: int
    late: bool
    published: bool
    clean: float | None
    poisoned: float | None
    ssim: float | None
    ssim_of_negative: float | None
    alone: float
    control: float
    as_is: float
    pooled: float | None
    used: int
    doubted: int
    refused: str | None

    @property
    def best(self) -> float:
        """Accuracy of the best that it has without a pool."""
        return max(self.alone, self.control, self.as_is)


class PoolOutcome(BaseModel):
    """The numbers that sum a pool up.

    Attributes:
        digest: SHA-256 over what was pooled and how each entity's decider does: the same on every grid.
        features: In the pool.
        refused: Entities whose features the pool refused.
        clean, poisoned: Accuracy of the published decider on fresh images, mean over honest entities; of poisoned ones,
            as many count as the entity has images in the pool.
        clean_ssim, ssim, ssim_of_negative: Published reconstructor: from clean features, and from poisoned ones and
            their negative.
        unseen_ratio: The worst unseen reconstructor: its SSIM from poisoned features, in either polarity, by that from
            clean ones.
        breaks_at: The fewest leaked pairs with which an attacker gets half of the clean SSIM, in either polarity; 0 if
            one without any does, None if nobody does.
        small_gain, large_gain: Accuracy of the entity with fewest, and mean of the others, beyond the best that they
            have without the pool: end to end, own features, or the published network as it is; honest ones only.
        clean_union: Accuracy of a decider refined on the clean features of all.
    """

    model_config = ConfigDict(frozen=True)

    digest: str
    features: int
    refused: int
    clean: float
    poisoned: float
    clean_ssim: float
    ssim: float
    ssim_of_negative: float
    unseen_ratio: float | None
    breaks_at: int | None
    small_gain: float | None
    large_gain: float | None
    clean_union: float


class PoolReport(RunReport):
    """A pool, written down."""

    schema_version: int = SCHEMA_VERSION
    outcome: PoolOutcome
    entities: list[EntityAccount]
    attacks: list[Attack]
    seconds_of_trainings: dict[str, float]
