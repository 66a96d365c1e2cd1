"""Steps that parties failed, those that failed alike together."""

from collections.abc import Callable, Iterable

from pydantic import BaseModel, ConfigDict


class FailedStep(BaseModel):
    """Parties that failed a step for the same reason.

    Attributes
    ----------
    what : str
        The step and the reason, one line.
    parties : list of str
        Who, a party once for each time.
    traceback : str or None
        Where the first of them raised; None for one that was silent or refused.
    """

    model_config = ConfigDict(frozen=True)

    what: str
    parties: list[str]
    traceback: str | None


def failed_steps(failures: Iterable[tuple[str, int, str]], name: Callable[[int], str]) -> list[FailedStep]:
    """Group failures, the most frequent first.

    Parameters
    ----------
    failures : iterable of (step, node id, why)
    name : callable
        From a node id to the party's name.
    """
    groups: dict[str, list[tuple[int, str]]] = {}
    for step, node_id, why in failures:
        groups.setdefault(one_line(step, why), []).append((node_id, why))
    return [
        FailedStep(
            what=what,
            parties=[name(node_id) for node_id, _ in group],
            traceback=next((why.strip() for _, why in group if "\n" in why.strip()), None),
        )
        for what, group in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def one_line(step: str, why: str) -> str:
    r"""Write a failure on one line.

    Examples
    --------
    >>> one_line("bid", "Traceback (most recent call last):\nKeyError: 3")
    'bid: KeyError: 3'
    """
    return f"{step}: {why.strip().splitlines()[-1]}"
