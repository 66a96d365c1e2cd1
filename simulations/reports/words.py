"""Things in words."""

from protocol.flower import FIRST_NODE_ID


def count(number: int, noun: str) -> str:
    """Write a number of things.

    Examples:
        >>> count(1, "image"), count(1200, "image")
        ('1 image', '1,200 images')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share, a dash where it is not known, with a space that does not break.

    Examples:
        >>> percent(0.8361).split(), percent(0.05, digits=0).split(), percent(None)
        (['83.6', '%'], ['5', '%'], '–')
    """
    return "–" if share is None else f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def points(difference: float) -> str:
    """Write a difference of shares in percentage points.

    Examples:
        >>> points(0.0456), points(-0.0001)
        ('+4.6 points', '+0.0 points')
    """
    return f"{signed(100 * difference, digits=1)} points"


def signed(number: float, digits: int = 2) -> str:
    """Write a number with its sign; what rounds to zero is positive.

    Examples:
        >>> signed(0.123), signed(-0.001)
        ('+0.12', '+0.00')
    """
    return f"{round(number, digits) + 0.0:+.{digits}f}"


def score(value: float | None, digits: int = 3) -> str:
    """Write a score, a dash where it is not known.

    Examples:
        >>> score(-0.0321), score(None)
        ('-0.032', '–')
    """
    return "–" if value is None else f"{value:.{digits}f}"


def listed(names: list[str]) -> str:
    """Write names in a row.

    Examples:
        >>> listed(["a"]), listed(["a", "b", "c"])
        ('a', 'a, b and c')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def party_name(node_id: int) -> str:
    """Name a party as in ``messages.jsonl``."""
    return "buyer" if node_id == FIRST_NODE_ID else f"seller-{node_id}"
