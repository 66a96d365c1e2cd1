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


class Promise(BaseModel):
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
        by_likelihood: LiRA, where the scenario asks for it.
        property_told: Share of clients of whom the cloud tells the property from their first update; None where it sees
            none.
        groups: Accuracy by sex and age.
        gap: Between the best and the worst served group.
        digest: SHA-256 of the model.
    """

    model_config = ConfigDict(frozen=True)

    strategy: str
    promise: Promise | None
    accuracy: float
    trained_accuracy: float
    curve: list[float]
    by_loss: Attack
    by_shadows: Attack
    by_likelihood: Attack | None
    property_told: float | None
    groups: dict[str, float]
    gap: float
    robustness: list[Robustness]
    digest: str

    @property
    def worst(self) -> Attack:
        """The best of the attacks."""
        attacks = [each for each in (self.by_loss, self.by_shadows, self.by_likelihood) if each is not None]
        return max(attacks, key=lambda attack: attack.advantage)


class FederateOutcome(BaseModel):
    """What must not depend on the grid, the workers or the clock.

    Attributes:
        clients, pictures: How many, and all their pictures together.
        majority: What naming always the more frequent class gets right.
        inverted, inverted_private: Mean SSIM of pictures that the cloud found from one step of a client: of clients
            without, and with DP-SGD.
        digest: SHA-256 of the digests of all methods.
    """

    model_config = ConfigDict(frozen=True)

    clients: int
    pictures: int
    majority: float
    inverted: float | None
    inverted_private: float | None
    digest: str


class FederateReport(RunReport):
    """Federated learning, written down; see `RunReport`."""

    outcome: FederateOutcome
    methods: dict[str, MethodResult]
