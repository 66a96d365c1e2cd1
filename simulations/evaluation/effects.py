"""What cheats changed: a run beside its honest twin, the same world without them."""

from collections.abc import Mapping
from typing import TypeVar

from simulations.reports.evaluation import Effect
from simulations.reports.model import RunReport

Report = TypeVar("Report", bound=RunReport)


def with_effects(
    report: Report, twin: RunReport | None, money: Mapping[str, tuple[float, float]] | None = None
) -> Report:
    """Return a report that says what its cheats changed, where there is a twin to compare with; see `effects`."""
    return report if twin is None else report.model_copy(update={"effects": effects(report, twin, money)})


def effects(report: RunReport, twin: RunReport, money: Mapping[str, tuple[float, float]] | None = None) -> list[Effect]:
    """Return every number that differs, of leaks, utility and money.

    Args:
        report: Of the run with the cheats.
        twin: Of the same scenario without them.
        money: By whose it is, in coins: in the twin, and with the cheats.
    """
    found = []
    before = {each.key: each for each in twin.leaks}
    for leak in report.leaks:
        honest = before.get(leak.key)
        if honest is not None and honest.risk is not None and leak.risk is not None:
            what = f"{leak.method}: {leak.what}, {leak.observer}, by {leak.attack}"
            found.append(Effect(part="leak", what=what, unit="risk", honest=honest.risk.value, cheated=leak.risk.value))
    worth = {(each.method, each.task): each.accuracy.value for each in twin.utility}
    for row in report.utility:
        if (row.method, row.task) in worth:
            what, honestly = f"{row.method}: {row.task}", worth[row.method, row.task]
            found.append(
                Effect(part="utility", what=what, unit="accuracy", honest=honestly, cheated=row.accuracy.value)
            )
    for who, (had, has) in (money or {}).items():
        found.append(Effect(part="money", what=who, unit="coins", honest=had, cheated=has))
    return [each for each in found if each.difference]
