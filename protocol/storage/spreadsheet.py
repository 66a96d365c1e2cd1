"""Tables as spreadsheets save them: CSV with commas, semicolons or tabs."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import BadInput
from protocol.storage.user_files import printable, user_text

_DELIMITERS = ("\t", ";", ",")
"""What may stand between cells; of those that fit equally well, the first is meant."""
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_THOUSANDS = re.compile(r"[1-9]\d{0,2}[.,]\d{3}", re.ASCII)
"""What is a thousand to some and a one to others."""

Line = tuple[int, list[str]]
"""The number of a line, and its cells."""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        where: File and line, for messages.
        cells: The text of each cell, by column.
    """

    where: str
    cells: Mapping[str, str]


def read_table(path: Path, columns: Sequence[str]) -> list[Row]:
    """Read a table of the given columns.

    Cells may be quoted, lines end as on any system, and the first one may be Excel's ``sep=;``. Blank lines are passed
    over. A line with the names of the columns may precede the others; then they may have another order, and there may
    be more of them.

    Raises:
        BadInput: With one sentence that names file and line, when it is not such a table.
    """
    lines = _split(path, user_text(path), columns)
    places, longest = list(range(len(columns))), len(columns)
    if lines and _is_header(lines[0][1], columns):
        names = _lower(lines.pop(0)[1])
        places, longest = [names.index(name) for name in columns], len(names)
    rows = []
    for number, cells in lines:
        where = f"{printable(path)}, line {number}"
        if not max(places) < len(cells) <= longest:
            raise BadInput(
                f"{where}: a line is {','.join(columns)}, not {printable(','.join(cells))[:80]}; put quotes around a "
                "cell with a comma, or semicolons between the cells"
            )
        rows.append(Row(where, {name: cells[place] for name, place in zip(columns, places, strict=True)}))
    return rows


def read_number(cell: str) -> float:
    """Read a number with a decimal point or a decimal comma.

    Raises:
        ValueError: With what would be right, when it is none, or could be two.

    Examples:
        >>> read_number("1,50"), read_number("1.50")
        (1.5, 1.5)
    """
    if _THOUSANDS.fullmatch(cell):
        whole, decimals = cell[:-4], cell[-3:]
        raise ValueError(f"write {whole}{decimals} or {whole}.{decimals.rstrip('0') or '0'}")
    if not _NUMBER.fullmatch(cell):
        raise ValueError("write a number like 1.50")
    return float(cell.replace(",", "."))


def _split(path: Path, text: str, columns: Sequence[str]) -> list[Line]:
    """Return the lines that are not blank, split where most of them become the columns."""
    first, _, rest = text.partition("\n")
    said = re.fullmatch(r'"?sep=(.)"?', first.rstrip("\r"), re.IGNORECASE)
    found: list[list[Line]] = []
    broken = None
    for delimiter in (said[1],) if said else _DELIMITERS:
        try:
            found.append(_lines(f"\n{rest}" if said else text, delimiter))
        except csv.Error as error:
            broken = error
    if not found:
        raise BadInput(f"{printable(path)} is not CSV: {broken}")
    return max(
        found,
        key=lambda lines: sum(len(cells) == len(columns) or _is_header(cells, columns) for _, cells in lines),
    )


def _lines(text: str, delimiter: str) -> list[Line]:
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter, skipinitialspace=True, strict=True)
    lines = []
    for row in reader:
        cells = [cell.strip() for cell in row]
        while cells and not cells[-1]:  # of columns that were in use once
            cells.pop()
        if cells:
            lines.append((reader.line_num, cells))
    return lines


def _is_header(cells: Sequence[str], columns: Sequence[str]) -> bool:
    return set(columns) <= set(_lower(cells))


def _lower(cells: Sequence[str]) -> list[str]:
    return [cell.lower() for cell in cells]
