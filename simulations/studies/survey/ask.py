"""Asks a recogniser what it sees in a survey's pictures, where the paper asks a vision service (section 4.3)."""

import base64
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPException
from importlib import import_module
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from urllib.request import Request, urlopen

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from protocol.errors import BadInput, OutputExists
from protocol.storage.user_files import user_path, user_text
from protocol.strict_yaml import BadYaml, parse_yaml, read_yaml
from simulations.studies.survey.scoring import Answers

Picture = NDArray[np.uint8]
"""(height, width, 3)."""
Recogniser = Callable[[Picture], Sequence[str]]
"""Returns names, the likeliest first."""

NAMES = 10
"""Names of a picture that count, at most, as in the paper."""
PATIENCE, ANSWER_BYTES = 60.0, 10**6
"""Seconds that a service has to answer, and bytes that its answer may have."""

_TEXTS = TypeAdapter(list[str])
_SYNONYMS = TypeAdapter(dict[str, list[str]])


def ask_recogniser(page: Path, recogniser: str, out: Path, synonyms: Path | None = None) -> tuple[int, int]:
    """Write a recogniser's answers to a survey as a person's are written.

    Args:
        page: ``survey.html``; the key is not needed, and not shown to anybody.
        recogniser: ``torchvision:MODEL[=WEIGHTS]``, ``MODULE:FUNCTION``, or a URL.
        synonyms: YAML, for classes of the survey other names that count.

    Returns:
        How many pictures there are, and of how many a class of the survey was named.

    Raises:
        BadInput: When a file is none of a survey, or the recogniser does not answer as it should.
        OutputExists: When the file of answers is there.
    """
    survey, classes, pictures = _read_page(page)
    known = {_plain(name): name for name in classes}
    if synonyms is not None:
        known |= {_plain(other): name for name, others in _synonyms(synonyms, classes).items() for other in others}
    named = opened(recogniser)
    answers = {}
    for number, picture in enumerate(pictures, 1):
        said = _TEXTS.validate_python(list(named(picture))[:NAMES])
        answers[number] = tuple(dict.fromkeys(known[_plain(name)] for name in said if _plain(name) in known))
    sheet = Answers(kind="survey answers", schema_version=1, survey=survey, answers=answers)
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(sheet.model_dump_json(indent=1) + "\n")
    except FileExistsError:
        raise OutputExists(f"{out} is already there; name another file with --out, or remove it") from None
    except OSError as error:
        raise BadInput(f"{out} cannot be written: {error.strerror}") from None
    return len(answers), sum(bool(chosen) for chosen in answers.values())


def opened(recogniser: str) -> Recogniser:
    """Return a recogniser by its name.

    Raises:
        BadInput: When there is none of that name.
    """
    if recogniser.startswith(("http://", "https://")):
        return _service(recogniser)
    kind, _, what = recogniser.partition(":")
    if not kind or not what:
        raise BadInput(f"recogniser {recogniser!r} is neither torchvision:MODEL, nor MODULE:FUNCTION, nor a URL")
    return _torchvision(what) if kind == "torchvision" else _function(kind, what)


def _function(module: str, name: str) -> Recogniser:
    sys.path.insert(0, "")
    try:
        found = getattr(import_module(module), name, None)
    except ImportError as error:
        raise BadInput(f"recogniser: {module} cannot be imported: {error}") from None
    finally:
        sys.path.remove("")
    if not callable(found):
        raise BadInput(f"recogniser: {module} has no function {name}")

    def ask(picture: Picture) -> Sequence[str]:
        said = found(picture)
        if isinstance(said, str) or not all(isinstance(each, str) for each in said):
            raise BadInput(f"recogniser: {module}:{name} returns names, not {said!r:.60}")
        return list(said)

    return ask


def _torchvision(what: str) -> Recogniser:
    import torch  # noqa: PLC0415  (slow to import)
    from torchvision import models  # noqa: PLC0415

    name, _, file = what.partition("=")
    try:
        weights = models.get_model_weights(name).DEFAULT
        network = models.get_model(name, weights=None if file else weights).eval()
        if file:
            network.load_state_dict(torch.load(user_path(file), map_location="cpu", weights_only=True))
    except (ValueError, OSError, RuntimeError, EOFError, UnpicklingError) as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        raise BadInput(f"recogniser: torchvision model {name} cannot be used: {why}") from None
    prepared, categories = weights.transforms(), weights.meta["categories"]

    @torch.inference_mode()
    def ask(picture: Picture) -> Sequence[str]:
        scores = network(prepared(torch.from_numpy(picture.copy()).permute(2, 0, 1))[None])[0]
        return [categories[place] for place in scores.argsort(descending=True)[:NAMES].tolist()]

    return ask


def _service(url: str) -> Recogniser:
    def ask(picture: Picture) -> Sequence[str]:
        stream = BytesIO()
        Image.fromarray(picture).save(stream, "png")
        question = Request(url, stream.getvalue(), {"Content-Type": "image/png"})
        try:
            with urlopen(question, timeout=PATIENCE) as answer:
                said = answer.read(ANSWER_BYTES + 1)
        except (OSError, HTTPException, ValueError) as error:
            raise BadInput(f"recogniser: {url} does not answer: {error}") from None
        try:
            return _TEXTS.validate_json(said)
        except ValidationError:
            raise BadInput(f"recogniser: {url} answers with a JSON list of names, not {said[:60]!r}") from None

    return ask


def _read_page(page: Path) -> tuple[str, Sequence[str], Iterator[Picture]]:
    """Return a survey's id, its choices and its pictures."""
    _, _, rest = user_text(page).partition('id="data">')
    try:
        data = json.loads(rest.partition("</script>")[0])
        shown = [each.removeprefix("data:image/webp;base64,") for each in data["pictures"]]
        return data["survey"], _TEXTS.validate_python(data["choices"]), (_decoded(each) for each in shown)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput(f"{page} is not the page of a survey: give survey.html") from None


def _decoded(picture: str) -> Picture:
    return np.asarray(Image.open(BytesIO(base64.b64decode(picture))).convert("RGB"))


def _synonyms(path: Path, classes: Sequence[str]) -> Mapping[str, list[str]]:
    try:
        found = _SYNONYMS.validate_python(parse_yaml(read_yaml(path)))
    except (ValidationError, BadYaml, FileNotFoundError):
        raise BadInput(f"{path} is a YAML file of lists of names, by class") from None
    if unknown := set(found) - set(classes):
        raise BadInput(f"{path}: the survey has no class {min(unknown)!r}")
    return found


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").lower().split())
