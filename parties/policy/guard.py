"""What stands before all steps of a party: it refuses what the policy does not allow, and keeps the ledger."""

import logging
from collections.abc import Iterable

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable

from parties.party import Party, PartyApp
from parties.policy.charges import charges
from parties.policy.ledger import Ledger
from parties.policy.settings import Policy
from parties.pool.entity import Entity
from parties.pool.scrutiny import Scrutiny
from parties.publish.publisher import Publisher
from parties.purchase.seller import Seller
from parties.secure_sum.adding import AddingParty
from protocol.crypto.signing import verify
from protocol.encoding.codec import decode, encode
from protocol.errors import PolicyRefusal
from protocol.flower import reply
from protocol.messages.base import Hello, Introduction, LedgerHead

_DOMAIN = "privacy ledger"
_log = logging.getLogger(__name__)


class Guard:
    """A mod around every step of one party.

    1. A question is refused by the policy, or it is known what its answer tells;
    2. that is refused if a budget does not allow it;
    3. the party computes its answer;
    4. what it tells is committed in the ledger before it leaves. An answer that fails tells nothing.

    When the cloud asks who is there, the guard tells it the head of the ledger, and compares what the cloud was told
    before: a party whose store was replaced by an older copy spends nothing. A cloud that forgets, or keeps that for
    itself, undoes this, and nothing else.

    Args:
        ledger: None: one in memory.
    """

    def __init__(self, party: Party, policy: Policy, ledger: Ledger | None = None) -> None:
        self.party, self.policy = party, policy
        self.ledger = ledger or Ledger()
        if isinstance(party, Publisher):
            party.most = min(party.most, policy.publish.pictures)
        if isinstance(party, Seller):
            party.most_bids = min(party.most_bids, policy.purchase.bids)
        if isinstance(party, Entity):
            rules = policy.pool
            party.scrutiny = Scrutiny(frozenset(rules.publishers), rules.clean, rules.published, rules.unseen)
        if isinstance(party, AddingParty):
            party.fewest = max(party.fewest, policy.sums.fewest)

    def __call__(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """Answer a message, if the policy allows it.

        Raises:
            PolicyRefusal: When it does not.
        """
        kind = message.metadata.message_type
        if kind == "query.introduce":
            return self._introduced(message, call_next(message, context))
        try:
            told = charges(self.party, kind, message.content, self.policy)
            budgets, rounds = self.policy.budgets, self.policy.federate.rounds
            if told:
                self.ledger.check(told, budgets, rounds)
        except PolicyRefusal as refused:
            _log.info("refused %s: %s", kind, refused)
            raise
        answer = call_next(message, context)
        if told and not answer.has_error():
            self.ledger.spend(told, budgets, rounds)
        return answer

    def _introduced(self, message: Message, answer: Message) -> Message:
        """Tell the cloud the head of the ledger, and compare the one that it was told."""
        shown = decode(message.content, Hello).ledger
        identity = self.party.identity
        if shown is not None and verify(identity.public, _DOMAIN, _head(shown.count, shown.head), shown.signature):
            self.ledger.saw(shown.count, shown.head)
        count, head = self.ledger.head()
        if not count or answer.has_error():
            return answer
        told = LedgerHead(count=count, head=head, signature=identity.sign(_DOMAIN, _head(count, head)))
        introduction = decode(answer.content, Introduction)
        return reply(message, encode(introduction.model_copy(update={"ledger": told})))


def _head(count: int, head: bytes) -> bytes:
    return count.to_bytes(8, "big") + head


def guarded(apps: Iterable[ClientApp], policy: Policy) -> None:
    """Give the parties of these apps a policy, each with a ledger in memory."""
    for app in apps:
        if isinstance(app, PartyApp):
            app.party.guard = Guard(app.party, policy)
