"""Ways of sharing, compared."""

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protocol.errors import BadInput
from protocol.storage.user_files import user_path

if TYPE_CHECKING:
    import pandas as pd

    from simulations.studies.compare.report import ComparisonReport
    from simulations.studies.compare.settings import Comparison as Settings


class Comparison:
    """What comes of a comparison: its attributes are the keys of ``compare.json``, such as `methods` and `pairs`.

    Attributes:
        folder: What it wrote: ``compare.html``, ``compare.json`` and more. A temporary folder is removed with this
            object.
    """

    def __init__(self, model: "ComparisonReport", folder: Path) -> None:
        self._model = model
        self.folder = folder

    def __getattr__(self, name: str) -> Any:
        if name == "_model":  # not there yet, in a copy
            raise AttributeError(name)
        return getattr(self._model, name)

    def __repr__(self) -> str:
        return f"<Comparison: {self.summary}>"

    def _repr_html_(self) -> str:
        from simulations.reports.tables import html
        from simulations.studies.compare.tables import comparison_tables

        return html(comparison_tables(self._model))

    def to_frame(self) -> "pd.DataFrame":
        """Return its numbers as a tidy pandas data frame: a row for each, as in ``compare.csv``.

        Raises:
            ImportError: When pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ImportError("to_frame needs pandas, which is not installed: pip install 'parley[pandas]'") from None
        from simulations.studies.compare.export import COLUMNS, rows

        return pd.DataFrame(rows(self._model), columns=list(COLUMNS))


def load_comparison(
    source: "str | PathLike[str] | Settings" = "compare", settings: Mapping[str, Any] | None = None, **keys: Any
) -> "Settings":
    """Read a comparison, and change some of its keys.

    Args:
        source: ``compare``, or ``quick``, which takes minutes; the path of a ``.yaml`` file; or a comparison.
        settings: Values by key, such as ``{"cohort.people": 40}``.
        keys: The same for keys without a dot, such as ``seeds=3`` or ``methods=["raw", "pool"]``.

    Raises:
        UserError: With one sentence that names the key at fault.
    """
    from simulations.studies.compare.settings import Comparison, load_comparison

    return load_comparison(source if isinstance(source, Comparison) else str(source), settings, **keys)


def compare(
    comparison: "str | PathLike[str] | Settings" = "compare",
    *,
    workers: int | None = None,
    address: str | None = None,
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    progress: bool = True,
) -> Comparison:
    """Play ways of sharing on one cohort, attack them alike, and return what came out.

    Args:
        comparison: ``compare``, ``quick``, the path of a ``.yaml`` file, or what `load_comparison` returns.
        workers: How many runs are played side by side; None: one for each processor.
        address: ``host:port`` of a running Ray cluster's head node.
        out: The folder to write, which must not exist yet. None: a temporary folder, which is removed with the result.
        resume: Go on with what an earlier comparison to the same `out` has played.
        progress: Whether to show progress, below a notebook's cell or on stderr.

    Raises:
        UserError: With one sentence.
    """
    from simulations.cli.progress import shown

    if resume and out is None:
        raise BadInput("resume goes on with an earlier comparison: name its folder with out")
    with ExitStack() as temporary, shown() if progress else nullcontext(None) as watch:
        from parties.workflow import unwatched
        from simulations.studies.compare.playing import compare as play

        if out is None:
            folder = Path(tempfile.mkdtemp(prefix="parley-")) / "compare"
            temporary.callback(shutil.rmtree, folder.parent, ignore_errors=True)
        else:
            folder = user_path(out)
        report = play(load_comparison(comparison), folder, workers, address, watch or unwatched, resume=resume)
        found = Comparison(report, folder)
        weakref.finalize(found, temporary.pop_all().close)
    return found
