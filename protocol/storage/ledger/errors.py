"""What the ledger refuses to do."""

from protocol.errors import ProtocolError


class LedgerError(ProtocolError):
    """The ledger refused, and recorded nothing of what was asked."""


class InsufficientFunds(LedgerError):
    """An account without an overdraft would fall below zero."""


class InvalidAmount(LedgerError):
    """An amount is not a positive integer, or payouts do not sum to what is held."""


class UnknownAccount(LedgerError):
    """No account of this name is open."""


class AccountExists(LedgerError):
    """The account is open already, on other terms."""


class ReservedAccount(LedgerError):
    """The account is the ledger's own."""


class UnknownEscrow(LedgerError):
    """No escrow has this id."""


class EscrowExists(LedgerError):
    """An escrow of this id was held before."""


class EscrowResolved(LedgerError):
    """The escrow was posted or voided before."""


class ScopeClosed(LedgerError):
    """The workflow that money is to be held for has ended."""


class IdempotencyConflict(LedgerError):
    """The key was used before, for another request."""


class Unbalanced(LedgerError):
    """What would be written does not sum to zero, or changes an account that is not there: the program is wrong."""
