"""What the report of crowdsourced representations says: the schema of its ``report.json``."""

from pydantic import BaseModel, ConfigDict

from simulations.reports.model import RunReport

SCHEMA_VERSION = 2
"""Raised with every change of the schema that a reader could notice."""


class Reading(BaseModel):
    """How well an attribute was read, or guessed: shares of right answers, and the area under the ROC curve.

    Attributes:
        accuracy, balanced, auc: See `strategies.pric.reading.Read`.
    """

    model_config = ConfigDict(frozen=True)

    accuracy: float
    balanced: float
    auc: float


Readings = dict[str, Reading]
"""By attribute."""


class Attack(BaseModel):
    """An attacker that reads the private attributes of what participants sent.

    Attributes:
        name: What kind of classifier it is.
        budget: How many times as long it trained.
        source: ``public``: the collector's own pictures; ``leaked``: what some participants told of themselves.
        pictures: How many of them it learned from.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    source: str
    pictures: int
    budget: int
    private: Readings


class OtherLeaks(BaseModel):
    """What else representations give away.

    Attributes:
        ssim, l1: Of reconstructions by a network that was trained on the collector's pictures.
        recognised: Share of participants' pictures whose owner is named, by one other picture of each owner.
        owners: How many people there are to choose from.
        membership: Area under the ROC curve of telling, by the tasks' model, pictures that it was trained on from
            others.
        presence: The same, by looking a picture's representation up among those received.
    """

    model_config = ConfigDict(frozen=True)

    ssim: float
    l1: float
    recognised: float
    owners: int
    membership: float
    presence: float


class Setting(BaseModel):
    """One extractor, measured.

    Attributes:
        weight: Lambda; None for the undefended one, which keeps what it can.
        together: Whether participants trained it, and not the collector.
        tasks: By the collector's models, on people who are no participants.
        in_loop: Private attributes, by the classifier that the extractor was trained against.
        fresh: By a fresh and larger one that learned from all of the collector's pictures.
        induced: By what the collector's models say of the tasks, and by nothing else.
        attacks: All attackers.
        leaks: Where that was measured.
    """

    model_config = ConfigDict(frozen=True)

    weight: float | None
    together: bool
    tasks: Readings
    in_loop: Readings
    fresh: Readings
    induced: Readings
    attacks: list[Attack]
    leaks: OtherLeaks | None

    @property
    def strongest(self) -> Readings:
        """By the attacker, of those that learned from the collector's pictures, with the largest area under the ROC."""
        own = [each.private for each in self.attacks if each.source == "public"]
        return max(own, key=lambda found: sum(each.auc for each in found.values()))


class CrowdsourceOutcome(BaseModel):
    """What came out, in short. Private attributes are averaged over where there are several.

    Attributes:
        participants, contributed: How many there are, and of how many representations were taken.
        pictures, labelled: Representations taken, and those of them with labels.
        bytes_sent, bytes_as_numbers, bytes_as_pictures: Representations as they were sent; in single precision; the
            scaled pictures themselves, uncompressed.
        fresh, in_loop, undefended, majority, induced: Accuracy for the private attributes: of a fresh attacker, of the
            one that was trained along, of a fresh one where nothing is defended; of a guess; of what the tasks tell.
        strongest, strongest_balanced, strongest_auc: Of the strongest attacker: accuracy, balanced accuracy, and area
            under the ROC curve.
        way, way_balanced, way_auc: Share of the way from the undefended extractor down to a guess that the strongest
            attacker fell, on these scales.
        utility, undefended_utility: Mean accuracy over the tasks.
        worst_loss: The most that a task lost against the undefended extractor.
        ssim, recognised, membership, presence: See `OtherLeaks`.
        digest: SHA-256 of what was sent and what was measured.
    """

    model_config = ConfigDict(frozen=True)

    participants: int
    contributed: int
    pictures: int
    labelled: int
    bytes_sent: int
    bytes_as_numbers: int
    bytes_as_pictures: int
    fresh: float
    in_loop: float
    undefended: float
    majority: float
    induced: float
    strongest: float
    strongest_balanced: float
    strongest_auc: float
    way: float
    way_balanced: float
    way_auc: float
    utility: float
    undefended_utility: float
    worst_loss: float
    ssim: float
    recognised: float
    membership: float
    presence: float
    digest: str

    @property
    def least_way(self) -> float:
        """The most pessimistic of the three."""
        return min(self.way, self.way_balanced, self.way_auc)


class CrowdsourceReport(RunReport):
    """A round of crowdsourcing, written down.

    Attributes:
        majority, induced: Floors for each private attribute: a guess, and what the tasks' true labels tell.
        settings: The undefended extractor, then one for each lambda, ascending.
        chosen: Which of them was published.
        equipment: What the training ran on.
    """

    schema_version: int = SCHEMA_VERSION
    outcome: CrowdsourceOutcome
    majority: Readings
    induced: Readings
    settings: list[Setting]
    chosen: int
    equipment: str
