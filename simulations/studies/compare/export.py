"""The numbers of a comparison for other programs: tidy CSV, a LaTeX table, and figures as SVG and PDF."""

import csv
from collections.abc import Iterator
from pathlib import Path

from simulations.reports.evaluation import Estimate
from simulations.reports.plot import Plot
from simulations.studies.compare.plots import Figured, drawn, save
from simulations.studies.compare.report import ComparisonReport, MethodRow
from simulations.studies.compare.table import CRITERIA

COLUMNS = (
    "method", "workflow", "measure", "observer", "what", "attack", "role", "unit", "value", "low", "high", "n", "runs",
)  # fmt: skip


def export(folder: Path, report: ComparisonReport) -> dict[Figured, Plot]:
    """Write ``compare.csv``, ``compare.tex`` and ``figures/``; return the figures for the page."""
    with (folder / "compare.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows(report))
    (folder / "compare.tex").write_text(latex(report), encoding="utf-8")
    save(report, folder / "figures")
    return dict(drawn(report))


def rows(report: ComparisonReport) -> Iterator[dict[str, object]]:
    """Yield every number of a comparison as a row of its own."""
    for row in report.methods:
        same: dict[str, object] = {"method": row.name, "workflow": row.workflow}
        if row.worth is not None:
            of: dict[str, object] = {**same, "what": row.worth.task, "unit": "share", "runs": " ".join(row.worth.runs)}
            yield {**of, "measure": "accuracy", **_parts(row.worth.accuracy)}
            if row.worth.retained is not None:
                yield {**of, "measure": "utility retained", **_parts(row.worth.retained)}
        for risk in row.risks:
            of = {
                **same, "observer": risk.observer, "what": risk.what, "attack": risk.attack, "unit": "share",
                "runs": " ".join(risk.runs),
            }  # fmt: skip
            yield {**of, "measure": f"{risk.criterion}, rate", **_parts(risk.rate)}
            if risk.risk is not None:
                yield {**of, "measure": f"{risk.criterion}, risk", **_parts(risk.risk)}
        if row.promise is not None and row.promise.epsilon is not None:
            yield {**same, "measure": "epsilon", "what": row.promise.unit, "value": row.promise.epsilon, "n": 0}
        for cost in row.costs:
            of = {**same, "role": cost.role, "n": cost.parties, "runs": " ".join(row.runs)}
            for measure, unit, value in (
                ("CPU", "s", cost.seconds), ("sent", "bytes", cost.sent), ("received", "bytes", cost.received),
                ("rounds", "", cost.rounds), ("one phone, work", "s", cost.phone and cost.phone.seconds),
                ("one phone, data", "s", cost.phone and cost.phone.moving),
                ("one phone, energy", "J", cost.phone and cost.phone.joules),
            ):  # fmt: skip
                if value is not None:
                    yield {**of, "measure": measure, "unit": unit, "value": value}


def _parts(found: Estimate) -> dict[str, object]:
    return {"value": found.value, "low": found.low, "high": found.high, "n": found.n}


def latex(report: ComparisonReport) -> str:
    """Return the main table for a paper that loads ``booktabs``."""
    lines = [
        rf"\begin{{tabular}}{{lr{'r' * len(CRITERIA)}r}}",
        r"\toprule",
        " & ".join(["method", "retained, \\%", *(f"{each}, \\%" for each in CRITERIA), r"$\varepsilon$"]) + r" \\",
        r"\midrule",
        *(f"{_line(row)} \\\\" for row in report.methods),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _line(row: MethodRow) -> str:
    share = None if row.worth is None else row.worth.retained
    worst = [row.worst(criterion) for criterion in CRITERIA]
    epsilon = None if row.promise is None else row.promise.epsilon
    return " & ".join([
        _escaped(row.title), _number(share), *(_number(None if each is None else each.risk) for each in worst),
        "--" if epsilon is None else f"{epsilon:.4g}",
    ])  # fmt: skip


def _number(found: Estimate | None) -> str:
    if found is None:
        return "--"
    value, low, high = (f"{100 * each:.0f}" for each in (found.value, found.low, min(found.high, 9.99)))
    return f"{value} ({low}--{high})" if found.n else value


_SPECIAL = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "ε": r"$\varepsilon$", "λ": r"$\lambda$", "δ": r"$\delta$"}


def _escaped(text: str) -> str:
    r"""Write text for LaTeX.

    Examples:
        >>> _escaped("50 %")
        '50 \\%'
    """
    return "".join(_SPECIAL.get(letter, letter) for letter in text)
