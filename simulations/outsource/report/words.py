"""Settings and shares in words."""

from simulations.outsource.report.model import TradeOff


def percent(share: float | None) -> str:
    """Write a share, nothing where there is none.

    Examples
    --------
    >>> percent(0.923), percent(None)
    ('92.3 %', '')
    """
    return "" if share is None else f"{100 * share:.1f} %"


def setting_words(point: TradeOff) -> str:
    """Write a setting on one line.

    Examples
    --------
    >>> setting_words(TradeOff(technique="noise-mix", weights=(0.75, 0.25), strength=20, accuracy=1, privacy=0))
    'noise-mix 0.75/0.25, 20'
    """
    weights = point.weights if isinstance(point.weights, str) else "/".join(f"{weight:g}" for weight in point.weights)
    strength = "" if point.strength is None else f", {point.strength:g}"
    own = " (this run)" if point.own else ""
    return f"{point.technique} {weights}{strength}{own}"
