"""The report of a publication: ``report.json``, and what is printed of it."""

from pydantic import BaseModel, ConfigDict

from simulations.reports.model import RunReport


class Loss(BaseModel):
    """What several published pictures of one owner promise together.

    Attributes:
        epsilon, delta: Sequential composition; epsilon is None where nothing is promised.
        composed: The least epsilon at the scenario's delta (optimal composition); None where that is not defined.
    """

    model_config = ConfigDict(frozen=True)

    pictures: int
    epsilon: float | None
    delta: float
    composed: float | None


class MethodResult(BaseModel):
    """What came of publishing by one method.

    Attributes:
        mechanism: In words.
        pictures: Published.
        promise: Neighbours, what is protected, what is left open.
        of_an_owner: For one picture, and for all of an owner's.
        of_all_pixels: For one picture, if any other picture is a neighbour.
        dssim, dssim_restored: Mean unlikeness of the published, and of the restored pictures, from the originals: 0 for
            the same.
        recognised, recognised_restored: Share of pictures whose owner a trained recogniser names: as published, and
            restored first, the better of two budgets each.
        useful, useful_alike: Accuracy of a classifier that was trained on them: on strangers' pictures, and on such
            published alike.
        audited: How much of the promised epsilon an audit of neighbours shows to be lost, a share (95 % sure).
        digest: SHA-256 of all that was published.
    """

    model_config = ConfigDict(frozen=True)

    mechanism: str
    settings: dict[str, float]
    pictures: int
    promise: dict[str, str]
    of_an_owner: list[Loss]
    of_all_pixels: Loss
    dssim: float
    dssim_restored: float
    recognised: float
    recognised_restored: float
    useful: float
    useful_alike: float
    audited: float | None = None
    digest: str

    @property
    def worst(self) -> float:
        """The re-identification rate of the better of the two attacks."""
        return max(self.recognised, self.recognised_restored)

    @property
    def accuracy(self) -> float:
        """Of the classifier on the kind of images that it does better on."""
        return max(self.useful, self.useful_alike)


class PublishOutcome(BaseModel):
    """What must not depend on the grid, the workers or the clock.

    Attributes:
        owners, published: Owners, and pictures published, all methods together.
        chance: What guessing recognises.
        majority: What naming always the more frequent class gets right.
        digest: SHA-256 of the digests of all methods.
    """

    model_config = ConfigDict(frozen=True)

    owners: int
    published: int
    chance: float
    majority: float
    digest: str


class PublishReport(RunReport):
    """A publication, written down; see `RunReport`."""

    schema_version: int = 2
    outcome: PublishOutcome
    methods: dict[str, MethodResult]
