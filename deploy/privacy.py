"""What a party's privacy ledger says: budgets, what was spent of them, and what has left the party."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from deploy.kit import Kit
from deploy.party import STORE, alone, user_errors
from parties.policy.ledger import EVERYBODY, NAMES, Ledger
from parties.policy.settings import Policy
from parties.store import PARTY
from protocol.storage.database import Database, opening

LAST, MOST = 10, 5
"""Entries, and images, that are shown."""


class Subject(BaseModel):
    """One subject, by the hash of its pixels where it is an image (empty: all), and the epsilon that was spent."""

    model_config = ConfigDict(frozen=True)

    kind: str
    subject: str
    epsilon: float


class Line(BaseModel):
    """One entry: what left the party, and the epsilon of it alone; None where nothing is promised."""

    model_config = ConfigDict(frozen=True)

    number: int
    at: str
    kind: str
    subject: str
    what: str
    epsilon: float | None


class Standing(BaseModel):
    """A privacy ledger.

    Attributes:
        delta: Of all budgets.
        budgets, spent: Epsilon by kind of subject; of each kind the subject that has lost most.
        largest: Those that have lost most.
        entries, unpromised: How many entries there are, and of how many answers nothing is promised.
        last: The latest entries.
        behind: Why nothing is spent: the ledger is older than the cloud was told.
    """

    model_config = ConfigDict(frozen=True)

    delta: float
    budgets: dict[str, float | None]
    spent: dict[str, float]
    largest: list[Subject]
    entries: int
    unpromised: int
    last: list[Line]
    behind: str | None


def standing_of(ledger: Ledger, policy: Policy) -> Standing:
    """Return what a ledger says."""
    budgets, entries = policy.budgets, ledger.entries()
    losses = ledger.losses()
    found = [
        Subject(kind=kind, subject=subject.hex(), epsilon=loss.epsilon(budgets.delta))
        for (kind, subject), loss in losses.items()
    ]
    found.sort(key=lambda each: -each.epsilon)
    unpromised = {each.release.question for each in entries if each.release.kind == "life" and not each.release.loss}
    return Standing(
        delta=budgets.delta,
        budgets={kind: getattr(budgets, kind) for kind in NAMES},
        spent={kind: max((each.epsilon for each in found if each.kind == kind), default=0.0) for kind in NAMES},
        largest=[each for each in found if each.subject != EVERYBODY.hex()][:MOST],
        entries=len(entries),
        unpromised=len(unpromised),
        last=[
            Line(
                number=each.number,
                at=datetime.fromtimestamp(each.at, UTC).isoformat(timespec="seconds"),
                kind=each.release.kind,
                subject=each.release.subject.hex(),
                what=each.release.what,
                epsilon=None if each.release.loss is None else each.release.loss.epsilon(budgets.delta),
            )
            for each in entries[-LAST:]
        ],
        behind=ledger.behind(),
    )


def privacy_of(kit: Kit, adopt: bool = False) -> Standing:
    """Return what the ledger of a kit's party says, also while the party runs.

    Args:
        adopt: Go on with a ledger that is older than the cloud was told; the party must not run.

    Raises:
        BadKit: When the policy or the ledger cannot be used.
    """
    policy, path = kit.policy(), kit.state / STORE
    if not path.exists():
        return standing_of(Ledger(), policy)
    with user_errors(), _opened(path) as ledger:
        if adopt:
            with alone(kit.state):
                ledger.adopt()
        return standing_of(ledger, policy)


@contextmanager
def _opened(path: Path) -> Iterator[Ledger]:
    with opening(path):
        database = Database(path, PARTY)
    with closing(database):
        yield Ledger(database)
