"""What cheats changed: a run beside its honest twin, the same world without them."""

from collections.abc import Mapping
from typing import TypeVar

from simulations.reports.evaluation import Effect
from simulations.reports.model import RunReport

Report = TypeVar("Report", bound=RunReport)


def with_effects(
    report: Report,
    twins: Mapping[str, RunReport],
    money: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
) -> Report:
    """Return a report that says what its cheats changed, where there are twins to compare with; see `effects`.

    Args:
        twins: By the cheat that is missing.
        money: The same of money.
    """
    if not twins:
        return report
    found = [each for name, twin in twins.items() for each in effects(report, twin, name, (money or {}).get(name))]
    return report.model_copy(update={"effects": found})


def effects(
    report: RunReport, twin: RunReport, cheat: str, money: Mapping[str, tuple[float, float]] | None = None
) -> list[Effect]:
    """Return every number that differs, of leaks, utility and money.

    Args:
        report: Of the run with the cheats.
        twin: Of the same scenario without them, or one of them.
        cheat: What is missing there.
        money: By whose it is, in coins: in the twin, and with the cheats.
    """
    found = []
    before = {each.key: each for each in twin.leaks}
    for leak in report.leaks:
        honest = before.get(leak.key)
        if honest is not None and honest.risk is not None and leak.risk is not None:
            what = f"{leak.method}: {leak.what}, {leak.observer}, by {leak.attack}"
            risks = {"honest": honest.risk.value, "cheated": leak.risk.value}
            found.append(Effect(cheat=cheat, part="leak", what=what, unit="risk", **risks))
    worth = {(each.method, each.task): each.accuracy.value for each in twin.utility}
    for row in report.utility:
        if (row.method, row.task) in worth:
            what, honestly = f"{row.method}: {row.task}", worth[row.method, row.task]
            found.append(
                Effect(
                    cheat=cheat,
                    part="utility",
                    what=what,
                    unit="accuracy",
                    honest=honestly,
                    cheated=row.accuracy.value,
                )
            )
    for who, (had, has) in (money or {}).items():
        found.append(Effect(cheat=cheat, part="money", what=who, unit="coins", honest=had, cheated=has))
    return [each for each in found if each.difference]
