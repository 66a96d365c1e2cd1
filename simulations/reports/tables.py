"""Tables of a report, as a terminal has room for, as lines for other programs, and as HTML for a notebook."""

from collections.abc import Iterable, Iterator
from html import escape

from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text


def rows(table: Table) -> list[list[str]]:
    """Return the cells of a table, row by row."""
    return [list(row) for row in zip(*(map(str, column.cells) for column in table.columns), strict=True)]


def headers(table: Table) -> list[str]:
    """Return what the columns are called; nothing where the table does not say."""
    return [str(column.header) for column in table.columns] if table.show_header else []


def tabbed(table: Table) -> Iterator[str]:
    r"""Yield a table as lines: its title, its headers, and the cells of each row with tabs between them.

    Examples:
        >>> table = Table("entity", "images", title="Pool")
        >>> table.add_row("entity-1", "40")
        >>> list(tabbed(table))
        ['Pool', 'entity\timages', 'entity-1\t40']
    """
    if table.title:
        yield str(table.title)
    for row in (headers(table), *rows(table)):
        if row:
            yield "\t".join(" ".join(cell.split()) for cell in row)


def fitted(table: Table, width: int) -> RenderableType:
    """Return a table that breaks no word; where a terminal is too narrow for it, each row becomes lines of its own.

    Args:
        width: Of the terminal, characters.
    """
    named = headers(table)
    columns = list(zip(*([named] if named else []), *rows(table), strict=True))
    widths = [max((cell_len(line) for cell in column for line in cell.splitlines()), default=0) for column in columns]
    least = [max((cell_len(word) for cell in column for word in cell.split()), default=1) for column in columns]
    room = width - 3 * len(columns) - 1
    while sum(widths) > room:
        shrinkable = [index for index, each in enumerate(widths) if each > least[index]]
        if not shrinkable:
            return _records(table, named)
        widths[max(shrinkable, key=widths.__getitem__)] -= 1
    for column, each in zip(table.columns, widths, strict=False):
        column.width, column.overflow = each, "fold"
    return table


def _records(table: Table, named: list[str]) -> Text:
    lines = [str(table.title)] if table.title else []
    for row in rows(table):
        if named:
            lines += ["", *(f"{name}: {cell}" if name else cell for name, cell in zip(named, row, strict=True) if cell)]
        else:
            lines.append(": ".join(row))
    return Text("\n".join(lines), overflow="fold")


def html(parts: Iterable[RenderableType]) -> str:
    """Write tables and sentences as HTML.

    Examples:
        >>> html(["1 < 2"])
        '<p>1 &lt; 2</p>'
    """
    return "".join(_table(part) if isinstance(part, Table) else f"<p>{escape(str(part))}</p>" for part in parts)


def _table(table: Table) -> str:
    caption = f"<caption>{escape(str(table.title))}</caption>" if table.title else ""
    head = "".join(f"<th>{escape(name)}</th>" for name in headers(table))
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows(table))
    return f"<table>{caption}{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"
