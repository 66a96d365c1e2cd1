"""The report of federated learning: ``report.json``, and what is printed of it."""

from pydantic import BaseModel, ConfigDict

from simulations.reports.model import RunReport


class Attack(BaseModel):
    """How well an attack tells who was trained on; see `strategies.attacks.membership.Membership`."""

    model_config = ConfigDict(frozen=True)

    auc: float
    advantage: float
    margin: float
    at_low_false_positives: float


class Guarantee(BaseModel):
    """What a method promises.

    Attributes:
        unit: Whose presence it hides.
        sigma: Noise by clipping norm; of dp-sum that of each client.
        epsilon, delta: Of one unit, all rounds together, by Renyi accounting; of dp-sum with the noise of as few
            clients as go on with a sum.
        epsilon_prv: The same by Opacus's other accountant, which knows nothing of dp-sum.
        epsilon_person: For somebody in as many pictures as the scenario says.
        bound: The largest membership advantage that allows.
    """

    model_config = ConfigDict(frozen=True)

    unit: str
    sigma: float
    epsilon: float
    delta: float
    epsilon_prv: float
    epsilon_person: float
    bound: float


class Audit(BaseModel):
    """An epsilon that attacks prove to be lost, whatever is promised: a lower bound, with 95 % confidence.

    Attributes:
        unit: About whom guesses were.
        epsilon: 0 where nothing is proven.
        promised: For the same unit; None where nothing is promised.
        attack: Whose guesses.
        right, guesses, canaries: Guesses that were right, guesses made, and of how many to choose from.
    """

    model_config = ConfigDict(frozen=True)

    unit: str
    epsilon: float
    promised: float | None
    attack: str
    right: int
    guesses: int
    canaries: int


class Robustness(BaseModel):
    """Accuracy when each value of a picture may be moved by this number of grey levels."""

    model_config = ConfigDict(frozen=True)

    levels: float
    accuracy: float


class MethodResult(BaseModel):
    """What came of learning by one method.

    Attributes:
        strategy: In words.
        accuracy, trained_accuracy: On fresh pictures, and on those trained on.
        curve: Accuracy on fresh pictures before the first round and after each.
        by_loss, by_shadows: Membership inference.
        by_likelihood, by_relative: LiRA and RMIA, where the scenario asks for them.
        audited: What membership inference proves to be lost.
        property_told: Share of clients of whom the cloud tells the property from their first update; None where it sees
            none.
        groups: Accuracy by sex and age; empty for a model that is not shown to beat the majority class.
        gap: Between the best and the worst served group; None for such a model.
        robustness: Under adversarial examples; empty for such a model.
        digest: SHA-256 of the model.
    """

    model_config = ConfigDict(frozen=True)

    strategy: str
    promise: Guarantee | None
    accuracy: float
    trained_accuracy: float
    curve: list[float]
    by_loss: Attack
    by_shadows: Attack
    by_likelihood: Attack | None
    by_relative: Attack | None = None
    audited: Audit | None = None
    property_told: float | None
    groups: dict[str, float]
    gap: float | None
    robustness: list[Robustness]
    digest: str

    @property
    def worst(self) -> Attack:
        """The best of the attacks."""
        attacks = [
            each for each in (self.by_loss, self.by_shadows, self.by_likelihood, self.by_relative) if each is not None
        ]
        return max(attacks, key=lambda attack: attack.advantage)


class FederateOutcome(BaseModel):
    """What must not depend on the grid, the workers or the clock.

    Attributes:
        clients, pictures: How many, and all their pictures together.
        majority: What naming always the more frequent class gets right.
        inverted, inverted_private: Mean SSIM of pictures that the cloud found from one step of a client: of clients
            without, and with DP-SGD.
        read, read_private: Mean SSIM of pictures that a malicious cloud read with planted weights, of clients without,
            and with DP-SGD; None where it read none.
        digest: SHA-256 of the digests of all methods.
    """

    model_config = ConfigDict(frozen=True)

    clients: int
    pictures: int
    majority: float
    inverted: float | None
    inverted_private: float | None
    read: float | None = None
    read_private: float | None = None
    digest: str


class FederateReport(RunReport):
    """Federated learning, written down; see `RunReport`."""

    schema_version: int = 2
    outcome: FederateOutcome
    methods: dict[str, MethodResult]
