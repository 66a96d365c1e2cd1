"""What comes of a run."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from protocol.errors import nearest
from simulations.reports.tables import html
from simulations.runs.workflows import simulation

if TYPE_CHECKING:
    import pandas as pd


class Report:
    """The report of a run: its attributes are the keys of ``report.json``, such as `outcome`.

    Attributes:
        folder: What the run wrote: ``report.html``, ``report.json`` and more. A temporary folder is removed with this
            report.
    """

    def __init__(self, model: BaseModel, folder: Path) -> None:
        self._model = model
        self.folder = folder

    def __getattr__(self, name: str) -> Any:
        if name == "_model":  # not there yet, in a copy
            raise AttributeError(name)
        return getattr(self._model, name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *type(self._model).model_fields]

    def __repr__(self) -> str:
        return f"<Report of {self.scenario['workflow']}, seed {self.seed}: {self.summary}>"

    def _repr_html_(self) -> str:
        return html(simulation(self.scenario["workflow"]).tables(self._model))

    def to_frame(self, part: str | None = None) -> "pd.DataFrame":
        """Return its numbers as a pandas data frame; those of several runs can be put together with `pandas.concat`.

        Args:
            part: None: a row for each number, with its key as in ``report.json`` (and in ``expect``). Or a key of
                several entries, such as ``parties`` or ``methods``: a row for each of them, with a column for each of
                its keys.

        Returns:
            Beside that, each row has the columns ``workflow`` and ``seed``.

        Raises:
            ImportError: When pandas is not installed.
            KeyError: When the report has no such part.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ImportError("to_frame needs pandas, which is not installed: pip install 'parley[pandas]'") from None
        written = self._model.model_dump(mode="json")
        run = {"workflow": self.scenario["workflow"], "seed": self.seed}
        if part is None:
            rows = [{**run, "key": key, "value": value} for key, value in _numbers(written)]
            return pd.DataFrame(rows, columns=[*run, "key", "value"])
        parts = dict(_parts(written))
        if part not in parts:
            raise KeyError(f"the report has no part {part}; {nearest(part, parts)}")
        return pd.DataFrame([{**run, **dict(_flat(entry))} for entry in parts[part]])


def _flat(entry: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield values by dotted key."""
    for name, value in entry.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


UNCOUNTED = ("schema_version", "scenario", "seed", "grid", "workers", "versions")
"""What went into a run, not what came of it."""


def _numbers(written: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the numbers that came of a run, by dotted key."""
    outcome = {key: value for key, value in written.items() if key not in UNCOUNTED}
    return ((key, float(value)) for key, value in _flat(outcome) if isinstance(value, (int, float)))


def _parts(written: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Yield what has several entries, by dotted key."""
    for name, value in written.items():
        if name in UNCOUNTED:
            continue
        if isinstance(value, list) and all(isinstance(entry, Mapping) for entry in value):
            yield f"{above}{name}", value
        elif isinstance(value, Mapping):
            if value and all(isinstance(entry, Mapping) for entry in value.values()):
                yield f"{above}{name}", [{"name": each, **entry} for each, entry in value.items()]
            yield from _parts(value, f"{above}{name}.")
