"""Money that an operator puts into the accounts of parties or takes out, and what accounts hold."""

import json
from collections.abc import Iterable
from itertools import islice

from parties.purchase.cloud import Cloud
from parties.purchase.settlement import MINT, open_accounts
from parties.purchase.terms import COIN
from protocol.crypto.certificates import Identity
from protocol.errors import ProtocolError
from protocol.messages import service
from protocol.storage.ledger import IdempotencyConflict, InsufficientFunds, Posting, Transfer, UnknownAccount

EVERYBODY = "*"
"""In the place of a party: the lines of all accounts."""


def move(cloud: Cloud, members: Iterable[str], who: Identity, asked: service.MoveMoney) -> service.AccountPage:
    """Move money between a party's account and outside, once for each reference.

    An account that is opened so gets the deposit that its role brings as well.

    Args:
        members: URNs of the parties that have ever attached.
        who: The operator.

    Raises:
        ProtocolError: When there is no such party, when its account holds less, or when the reference was used before
            for something else.
    """
    if not asked.amount:
        raise ProtocolError("an amount of money is more than nothing")
    urn = _account(cloud, members, asked.party)
    open_accounts(cloud.ledger, {urn: cloud.deposits[_role(urn)]})
    source, target = (MINT, urn) if asked.amount > 0 else (urn, MINT)
    memo = f"{'deposit' if asked.amount > 0 else 'withdrawal'}: {asked.reference}"
    request = json.dumps([urn, asked.amount]).encode()

    def effect(posting: Posting) -> bytes:
        posting.transfer([Transfer(source, target, abs(asked.amount), memo)])
        return who.urn.encode()

    try:
        cloud.ledger.once(f"money/{asked.reference}", request, effect)
    except IdempotencyConflict:
        raise ProtocolError(
            f"the reference {asked.reference!r} was used before, for another amount or another party; choose a new one"
        ) from None
    except InsufficientFunds:
        free = cloud.ledger.balance(urn)
        raise ProtocolError(
            f"the account of {urn} holds {free / COIN:.2f} coins that are free, and {-asked.amount / COIN:.2f} were to "
            "be taken out"
        ) from None
    return _page(cloud, urn, 0)


def page(cloud: Cloud, members: Iterable[str], who: Identity, asked: service.AskAccount) -> service.AccountPage:
    """Return the state of an account, and a page of its lines; see `service.AskAccount`.

    Raises:
        ProtocolError: When there is no such account, or it is not for this party to see.
    """
    if who.role == "operator" and asked.party == EVERYBODY:
        return _page(cloud, None, asked.after)
    urn = _account(cloud, members, asked.party or who.urn)
    if who.role != "operator" and urn != who.urn:
        raise ProtocolError(f"{who.urn} may see its own account alone")
    return _page(cloud, urn, asked.after)


def free(cloud: Cloud, urn: str) -> int:
    """Return what a party may spend, minor units: of an account that is not open yet, the deposit of its role."""
    try:
        return cloud.ledger.balance(urn)
    except UnknownAccount:
        return cloud.deposits[_role(urn)]


def _page(cloud: Cloud, account: str | None, after: int) -> service.AccountPage:
    lines = islice(cloud.ledger.entries(account, after), service.LINES)
    return service.AccountPage(
        account=EVERYBODY if account is None else account,
        free=0 if account is None else free(cloud, account),
        held=cloud.ledger.held(account),
        lines=tuple(
            service.AccountLine(
                number=line.number,
                transaction=line.transaction,
                account=line.account,
                amount=line.amount,
                memo=line.memo[:1000],
            )
            for line in lines
        ),
    )


def _account(cloud: Cloud, members: Iterable[str], party: str) -> str:
    """Return the account that a name or a URN means."""
    found = sorted(urn for urn in members if party in (urn, urn.rpartition(":")[2]))
    if not found:
        raise ProtocolError(f"no party {party!r} has ever attached to this cloud; `parley status --all` lists them")
    if len(found) > 1:
        raise ProtocolError(f"{party!r} may be {' or '.join(found)}; name one of these")
    if _role(found[0]) not in cloud.deposits:
        raise ProtocolError(f"{found[0]} has no account: only {' and '.join(cloud.deposits)}s have")
    return found[0]


def _role(urn: str) -> str:
    return urn.split(":")[2]
