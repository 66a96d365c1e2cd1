"""What an operator asks of the cloud."""

import secrets
import time
from collections.abc import Sequence

from deploy.kit import Kit
from deploy.party import ask_cloud
from deploy.pools import FAILED, OPEN
from parties.pool.published import blank
from parties.pool.workflow import Pool
from parties.workflow import Progress
from protocol.errors import BadInput, RunFailed
from protocol.journal import WorkflowState
from protocol.messages import service
from protocol.messages.pool import Rules
from protocol.storage.user_files import composed
from strategies.deep_poisoning.reconstructor import PUBLISHED

LONGEST_NAME = 200
PAUSE = 0.5
"""Seconds between two questions for the state of a pool."""


def rules_of(names: Sequence[str], side: int, architecture: str) -> Rules:
    """Return the rules of a new pool.

    Raises:
        BadInput: For fewer than two classes, repeated classes, too long names, and unknown architectures.
    """
    names = [composed(name) for name in names]
    if len(set(names)) < len(names) or len(names) < 2 or not all(names):
        raise BadInput(f"a pool has at least two classes with different names, not {', '.join(names) or 'none'}")
    if max(map(len, names)) > LONGEST_NAME:
        raise BadInput(f"the name of a class has at most {LONGEST_NAME} letters")
    rules = Rules(
        pool=secrets.token_bytes(32), architecture=architecture, reconstructor=PUBLISHED, names=tuple(names), side=side
    )
    try:
        blank(rules)
    except ValueError as error:
        raise BadInput(str(error)) from None
    return rules


def status_of(kit: Kit, everything: bool = False) -> service.Status:
    """Return the state of the cloud: what runs and what is latest, or, page by page, everything.

    Raises:
        Unreachable: When the cloud cannot be reached, or refuses.
    """
    status = page = ask_cloud(kit, service.STATUS, service.AskStatus(), service.Status)
    while everything and (page.parties or page.purchases):
        after = max((party.node_id for party in status.parties), default=0)
        question = service.AskStatus(after=after, without=len(status.purchases))
        page = ask_cloud(kit, service.STATUS, question, service.Status)
        more = {"parties": status.parties + page.parties, "purchases": status.purchases + page.purchases}
        status = page.model_copy(update=more)
    return status


def abort_purchase(kit: Kit, name: str) -> service.PurchaseStanding:
    """End a purchase, and return its state.

    Args:
        kit: The operator's.
        name: Of the purchase, or the beginning of the name of one that is running.

    Raises:
        Unreachable: When the cloud cannot be reached, or refuses.
    """
    status = status_of(kit)
    running = [each.name for each in status.purchases if each.state == WorkflowState.OPEN]
    meant = [each for each in running if each.startswith(name)]
    whole = meant[0] if len(meant) == 1 else name
    return ask_cloud(kit, service.ABORT, service.AbortPurchase(name=whole), service.PurchaseStanding)


def drain(kit: Kit, progress: Progress) -> None:
    """Have the cloud begin nothing new, and wait until nothing runs.

    Raises:
        Unreachable: When the cloud cannot be reached, or refuses.
    """
    most = 0
    while standing := ask_cloud(kit, service.DRAIN, service.Drain(), service.DrainStanding).running:
        most = max(most, standing)
        progress(f"{standing} still running", most - standing, most)
        time.sleep(PAUSE)


def end_drain(kit: Kit) -> None:
    """Have the cloud begin purchases and pools again."""
    ask_cloud(kit, service.DRAIN, service.Drain(on=False), service.DrainStanding)


def keep_pool(
    kit: Kit, rules: Rules, entities: int, patience: float, progress: Progress, publisher: str = ""
) -> service.PoolStanding:
    """Have the cloud run a pool, and wait for its end.

    Args:
        kit: The operator's.
        entities: The least number of attached entities.
        patience: Seconds that they have for each step.
        publisher: The name of the entity that pre-trains; none: the first one enrolled.

    Raises:
        Unreachable: When the cloud cannot be reached, or refuses.
        RunFailed: When the pool could not be finished.
    """
    question = service.BeginPool(rules=rules, entities=entities, patience=patience, publisher=publisher)
    while True:
        standing = ask_cloud(kit, service.POOL, question, service.PoolStanding)
        if standing.state == FAILED:
            why = [standing.note, *(f"{each.urn}: {each.note}" for each in standing.entities if each.note)]
            raise RunFailed(f"the pool failed: {'; '.join(why)}")
        if standing.state != OPEN:
            return standing
        progress(Pool.STEPS[max(standing.step, 1) - 1], standing.step, len(Pool.STEPS) + 1)
        time.sleep(PAUSE)


def move_money(kit: Kit, party: str, amount: int, reference: str) -> service.AccountPage:
    """Put money into the account of a party, or take it out; return its state, and the first page of its lines.

    Args:
        kit: The operator's.
        party: Its name or URN.
        amount: Minor units; negative to take out.
        reference: The same one moves money once, however often it is asked.

    Raises:
        Unreachable: When the cloud cannot be reached, or refuses.
    """
    question = service.MoveMoney(party=party, amount=amount, reference=reference)
    return ask_cloud(kit, service.MOVE, question, service.AccountPage)


def account_of(kit: Kit, party: str) -> service.AccountPage:
    """Return the state of an account with all of its lines.

    Args:
        kit: The operator's, or that of the party itself.
        party: Its name or URN, none for the kit's own, or ``*`` for the lines of all accounts.

    Raises:
        Unreachable: When the cloud cannot be reached, or refuses.
    """
    whole = page = ask_cloud(kit, service.ACCOUNT, service.AskAccount(party=party), service.AccountPage)
    lines = list(page.lines)
    while len(page.lines) == service.LINES:
        question = service.AskAccount(party=party, after=lines[-1].number)
        page = ask_cloud(kit, service.ACCOUNT, question, service.AccountPage)
        lines += page.lines
    return whole.model_copy(update={"lines": tuple(lines)})
