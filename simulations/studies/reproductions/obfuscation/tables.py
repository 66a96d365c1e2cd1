"""The paper's tables and Fig. 5, with the paper's numbers and ours."""

from collections.abc import Sequence

import numpy as np

from simulations.reports.reproduction import Cell, Interval, NumberTable, Row
from simulations.studies.reproductions.obfuscation.paper import (
    AGREEMENT,
    ATTACK,
    DRAWN,
    RECOGNISERS,
    REFERENCE,
    TRADEOFF,
)
from simulations.studies.reproductions.obfuscation.scale import Scale
from simulations.workflows.outsource.report import TradeOff

Setting = tuple[str, float, float | None]
"""Technique, lambda and strength, as the paper writes them."""
Numbers = dict[tuple[object, ...], list[float]]
"""One number per seed, by measure."""

CLASSES = 10
ACCURACY, INTRA, PRIVACY, PRIVACY_INTRA = "accuracy", "accuracy, intra-class", "dSSIM", "dSSIM, intra-class"
ATTACKED: dict[str, Setting | None] = {
    "none": None,
    "pixelize": ("pixelize", 1.0, 16),
    "pixelize-mix": ("pixelize-mix", 0.5, 16),
    "shuffle-mix": ("shuffle-mix", 0.5, 8),
    "noise-mix": ("noise-mix", 0.5, 20),
    "noise-mix at lambda .75": ("noise-mix", 0.75, 20),
}
ABOVE = ("pixelize-mix", "shuffle-mix", "noise-mix")
"""Of these the strength is the least above the threshold, as in the paper."""
SETTINGS: tuple[Setting, ...] = (*TRADEOFF, *DRAWN)


def tradeoff_rows(found: Numbers, scale: Scale) -> list[Row]:
    """Table 7."""
    reference, nothing = found[ACCURACY, None], [0.0] * len(found[ACCURACY, None])
    rows = [
        Row(
            what=("reference", "no obfuscation"),
            cells={
                ACCURACY: _cell(reference, REFERENCE),
                INTRA: _cell(reference, REFERENCE),
                PRIVACY: _cell(nothing, 0.0),
                PRIVACY_INTRA: _cell(nothing, 0.0),
            },
        )
    ]
    for setting in SETTINGS:
        privacy, privacy_intra, accuracy, intra = TRADEOFF.get(setting, (None,) * 4)
        papers = {ACCURACY: accuracy, INTRA: intra, PRIVACY: privacy, PRIVACY_INTRA: privacy_intra}
        cells = {column: _cell(found[column, setting], paper) for column, paper in papers.items()}
        rows.append(Row(what=_words(setting, scale), cells=cells))
    return rows


def agreement_tables(found: Numbers, photos: str) -> list[NumberTable]:
    """Tables 2 to 5."""
    tables = {"vision": "Tables 4 and 5: agreement with the vision service", "people": "Tables 2 and 3: with people"}
    columns = ["AUC", "t_acc", "t_cut-off"]
    made = []
    for who, title in tables.items():
        rows = []
        for score, papers in AGREEMENT[who, photos].items():
            # A distance of features has an arbitrary scale, so thresholds on it cannot be compared.
            compared = zip(columns, papers, strict=True) if score != "FID" else [("AUC", papers[0])]
            cells = {column: _cell(found[column, who, score], paper) for column, paper in compared}
            rows.append(Row(what=("FID (distance of features)" if score == "FID" else score,), cells=cells))
        made.append(NumberTable(title=f"{title}; here {RECOGNISERS[who]}", columns=columns, rows=rows))
    return made


def attack_table(found: Numbers) -> NumberTable:
    """Table 6."""
    rows = [Row(what=(name,), cells={"accuracy": _cell(found["attack", name], ATTACK.get(name))}) for name in ATTACKED]
    return NumberTable(title="Table 6: accuracy of McPherson's CNN, ten classes", columns=["accuracy"], rows=rows)


def restoration_table(found: Numbers) -> NumberTable:
    """Section 4.4."""
    names = [key[1] for key in found if key[0] == "before"]
    papers = {"Wiener deconvolution of blur and mixing": 0.41}
    rows = [
        Row(
            what=(str(name),),
            cells={
                "dSSIM before": _cell(found["before", name]),
                "dSSIM after": _cell(found["after", name], papers.get(str(name))),
            },
        )
        for name in names
    ]
    return NumberTable(
        title="Section 4.4: dSSIM before and after restoration", columns=["dSSIM before", "dSSIM after"], rows=rows
    )


def points(found: Numbers, scale: Scale) -> list[TradeOff]:
    """Return Fig. 5: means, intra-class."""
    points = []
    for setting in SETTINGS:
        chosen = scale.setting(*setting)
        assert isinstance(chosen.weights, tuple)
        points.append(
            TradeOff(
                technique=chosen.technique,
                weights=chosen.weights,
                strength=chosen.strength,
                accuracy=float(np.mean(found[INTRA, setting])),
                privacy=float(np.mean(found[PRIVACY_INTRA, setting])),
            )
        )
    return points


def _cell(values: Sequence[float], paper: float | None = None) -> Cell:
    return Cell(paper=paper, ours=Interval.of(values))


def _words(setting: Setting, scale: Scale) -> tuple[str, ...]:
    technique, weight, strength = setting
    at = scale.scaled(technique, strength)
    mixed = "" if weight == 1 else f" lambda {weight:g}"
    ours = f" (here {at:g})" if at != strength else ""
    return (technique + mixed,) if strength is None else (technique + mixed, f"{strength:g}{ours}")
