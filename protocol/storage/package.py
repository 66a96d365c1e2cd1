"""Files that come with Parley beside its code: weights, templates."""

import json
from importlib import metadata
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from protocol.errors import BadInput

HERE = Path(__file__).parents[2]
_ADVICE = (
    "Flower app bundles do not carry such files: install this Parley (`pip install .`) in the environment that runs the"
    " app too"
)


def packaged_file(name: str) -> Path:
    """Return the path of a file beside the code, by its path from the packages' common folder.

    It is beside the code; or, where the code came in a Flower app bundle, which carries neither weights
    nor templates, in the Parley that is installed on this machine.

    Raises:
        BadInput: When it is in neither place, or the installed Parley is of another version.

    Examples:
        >>> packaged_file("simulations/reports/base.html").name
        'base.html'
    """
    if (HERE / name).is_file():
        return HERE / name
    places = installed()
    for place in places:
        if (place / name).is_file():
            if not _same_code((HERE / name).parent, (place / name).parent):
                raise BadInput(f"{name} of {place} is of another version; {_ADVICE}")
            return place / name
    raise BadInput(f"{name} is in none of {', '.join(map(str, [HERE, *places]))}; {_ADVICE}")


def _same_code(folder: Path, other: Path) -> bool:
    """Whether the modules beside a file are the same."""
    return all(
        (other / module.name).is_file() and (other / module.name).read_bytes() == module.read_bytes()
        for module in folder.glob("*.py")
    )


def installed() -> list[Path]:
    """Return the folder in which the installed Parley has its packages; nothing where none is installed."""
    try:
        distribution = metadata.distribution("parley")
    except metadata.PackageNotFoundError:
        return []
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        return [Path(url2pathname(urlparse(origin["url"]).path))]
    return [Path(str(distribution.locate_file("")))]
