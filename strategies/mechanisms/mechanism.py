"""What a registered mechanism is: a rule with a name, what it serves and what it claims."""

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from strategies.mechanisms.award import Award
from strategies.mechanisms.market import Market

Rule = Callable[[Market], Award]

QUALITIES = ("quantity", "matching", "diversity", "diversity-weighted")
AGENTS = ("images", "sellers")
"""What bids: each image for itself, or a seller with all its images as one bundle."""

_MARK = "parley_mechanism"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class BrokenAward(ValueError):
    """A rule that failed, or paid what it must not: above the budget or below a declared price."""


@dataclass(frozen=True)
class Mechanism:
    """A rule that buys within a budget.

    Attributes:
        name: Its key in scenarios and requests.
        summary: What it does, one line.
        qualities: The dataset qualities that it serves, of `QUALITIES`.
        agents: What may bid, of `AGENTS`.
        truthful: Whether it claims that no bidder gains by asking anything but its cost.
        guarantee: What it guarantees, in words.
        rule: From a market, in which no bid asks more than its ceiling, to the award.
        bound: Whether it needs to know true costs: what it buys is a bound for others, and no sellers can be asked to
            bid under it.
        manipulable: Whether the claim is known to be false.
    """

    name: str
    summary: str
    qualities: frozenset[str]
    agents: frozenset[str]
    truthful: bool
    guarantee: str
    rule: Rule
    bound: bool = False
    manipulable: bool = False

    def refusal(self, quality: str, agents: str) -> str | None:
        """Return why it does not serve this quality and these agents, None where it does."""
        if self.bound:
            return f"{self.name} is a bound, not a mechanism: it needs to know what sellers do not tell"
        if quality not in self.qualities:
            return f"{self.name} does not serve the quality {quality}: it is for {_either(self.qualities)}"
        if agents not in self.agents:
            return f"{self.name} does not serve {agents} as agents: it is for {_either(self.agents)}"
        return None

    def award(self, market: Market) -> Award:
        """Hold the auction.

        Bids above their ceilings are out, and no payment exceeds one; where the rule is truthful it stays so, as no
        bid can move the ceilings.

        Raises:
            BrokenAward: When the rule fails, buys a bid twice, pays less than a bid asks, or more than the budget.
        """
        admitted = np.flatnonzero(market.costs <= market.ceilings).astype(np.int64)
        inner = market.among(admitted)
        try:
            award = self.rule(inner)
            winners, payments = np.asarray(award.winners), np.asarray(award.payments)
            asked = inner.costs[winners]
            payments = np.minimum(payments, inner.ceilings[winners]).astype(np.int64)
        except Exception as error:
            raise BrokenAward(f"{self.name} failed: {type(error).__name__}: {error}") from error
        if len(np.unique(winners)) < len(winners) or np.any(payments < asked):
            raise BrokenAward(f"{self.name} buys an image twice, or pays less than it asks")
        if payments.sum() > market.budget:
            raise BrokenAward(f"{self.name} pays {payments.sum()} of a budget of {market.budget} minor units")
        return Award(admitted[winners], payments)


def mechanism(
    name: str,
    *,
    qualities: Collection[str] = QUALITIES,
    agents: Collection[str] = ("images",),
    truthful: bool = False,
    guarantee: str = "none",
) -> Callable[[Rule], Rule]:
    """Declare a rule of your own; the first line of its docstring says what it does.

    Args:
        name: Its name in reports.
        qualities: What it serves, of `QUALITIES`.
        agents: What may bid, of ``images`` and ``sellers``.
        truthful: Whether it claims that no lie about a cost pays; `parley audit truthfulness` tries to refute it.
        guarantee: What it guarantees, in words.

    Examples:
        >>> @mechanism("first-come", qualities=["quantity"])
        ... def first_come(market):
        ...     '''The first bid in the public order, paid what it asks.'''
        ...     first = market.order[:1]
        ...     return Award(first, market.costs[first])
        >>> declared_mechanisms(vars())["first-come"].summary
        'The first bid in the public order, paid what it asks.'
    """
    unknown = [*(set(qualities) - set(QUALITIES)), *(set(agents) - set(AGENTS))]
    if not _NAME.fullmatch(name):
        raise TypeError(f"invalid mechanism name {name!r}: use lower-case letters, digits and hyphens")
    if unknown or not qualities or not agents:
        raise TypeError(
            f"mechanism {name!r} serves {unknown or 'nothing'}: qualities are {', '.join(QUALITIES)}, agents"
            f" {' and '.join(AGENTS)}"
        )

    def declare(rule: Rule) -> Rule:
        summary = (inspect.getdoc(rule) or "").partition("\n")[0]
        if not summary:
            raise TypeError(f"mechanism {name!r} has no docstring to say what it does")
        found = Mechanism(name, summary, frozenset(qualities), frozenset(agents), truthful, guarantee, rule)
        setattr(rule, _MARK, found)
        return rule

    return declare


def declared_mechanisms(namespace: Mapping[str, object]) -> dict[str, Mechanism]:
    """Collect the mechanisms of a module from its namespace, by name."""
    marked = [getattr(value, _MARK, None) for value in namespace.values() if inspect.isfunction(value)]
    return {found.name: found for found in marked if isinstance(found, Mechanism)}


def _either(names: Collection[str]) -> str:
    return " or ".join(name for name in (*QUALITIES, *AGENTS) if name in names)
