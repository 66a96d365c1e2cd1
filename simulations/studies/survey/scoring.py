"""ROC curves and thresholds from answers (Raynal et al. 2020, section 4.2.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from protocol.errors import BadInput
from protocol.storage.user_files import user_text
from simulations.studies.survey.questions import Key
from strategies.scores.recognition import Agreement, Intervals, agreement, intervals

_KIND = TypeAdapter(dict[str, object])
M = TypeVar("M", bound=BaseModel)


class Answers(BaseModel):
    """The answers of one person, as the survey's page saves them.

    Attributes:
        survey: The id of the survey.
        answers: Chosen classes by the number of the question, from 1; no class means "I cannot tell". Questions without
            an answer are missing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["survey answers"]
    schema_version: Literal[1]
    survey: str
    answers: dict[int, tuple[str, ...]]


def read_key(path: Path) -> Key:
    """Read ``key.json``.

    Raises:
        BadInput: When it is not a key.
    """
    return _read(path, Key, "the key of a survey")


def read_answers(path: Path, key: Key) -> Answers:
    """Read a file of answers to this survey.

    Raises:
        BadInput: When it is not a file of answers, or belongs to another survey.
    """
    found = _read(path, Answers, "a file of answers")
    if found.survey != key.survey:
        raise BadInput(f"{path} answers survey {found.survey}, but the key is of survey {key.survey}")
    for number, chosen in found.answers.items():
        if not 1 <= number <= len(key.questions):
            raise BadInput(f"{path} answers question {number}, but there are {len(key.questions)}")
        if unknown := set(chosen) - set(key.class_names):
            raise BadInput(f"{path}: question {number} has no choice {min(unknown)!r}")
    return found


@dataclass(frozen=True)
class Scored:
    """What people's answers say of a privacy score, over all surveys.

    Attributes:
        found: AUC, thresholds and curve.
        intervals: Of these, over people and pictures.
        recognised: (comparisons,), which images were.
    """

    found: Agreement
    intervals: Intervals
    recognised: NDArray[np.bool_]


def read_surveys(paths: Sequence[Path]) -> list[tuple[Key, list[Answers]]]:
    """Read keys and answers, in any order, and put the answers to their keys.

    Raises:
        BadInput: When a file is neither, a key is missing, given twice or without answers, or keys differ in scores.
    """
    keys: dict[str, Key] = {}
    others = []
    for path in paths:
        try:
            is_key = _KIND.validate_json(user_text(path)).get("kind") == "survey key"
        except ValidationError:
            is_key = False
        if not is_key:
            others.append(path)
            continue
        key = read_key(path)
        if key.survey in keys:
            raise BadInput(f"{path} is the key of survey {key.survey}, which was given already")
        keys[key.survey] = key
    if not keys:
        raise BadInput(f"none of the {len(paths)} files is the key of a survey: give key.json, too")
    sheets: dict[str, list[Answers]] = {survey: [] for survey in keys}
    for path in others:
        survey = _read(path, Answers, "a file of answers").survey
        if survey not in keys:
            raise BadInput(f"{path} answers survey {survey}, whose key is missing; there is {', '.join(keys)}")
        sheets[survey].append(read_answers(path, keys[survey]))
    for survey, answers in sheets.items():
        if not answers:
            raise BadInput(f"nobody answers survey {survey}: give files of answers to it, or leave out its key")
    return [(keys[survey], answers) for survey, answers in sheets.items()]


def score_answers(surveys: Sequence[tuple[Key, Sequence[Answers]]], seed: int = 1) -> dict[str, Scored]:
    """Return the agreement of every privacy score with people, over all surveys together.

    Every component of every answered question is one comparison: it is recognised if its class was chosen.

    Args:
        seed: Of the intervals.

    Raises:
        BadInput: When all comparisons, or none, were recognised, so that no curve can be drawn.
    """
    recognised: list[bool] = []
    people: list[int] = []
    pictures: list[int] = []
    scores: dict[str, list[float]] = {name: [] for name in surveys[0][0].questions[0].scores}
    for survey, (key, sheets) in enumerate(surveys):
        for sheet in sheets:
            person = people[-1] + 1 if people else 0
            for number, chosen in sheet.answers.items():
                asked = key.questions[number - 1]
                recognised += [component in chosen for component in asked.components]
                people += [person] * len(asked.components)
                pictures += [survey * 10**6 + number] * len(asked.components)
                for name in scores:
                    scores[name] += asked.scores[name]
    told = np.array(recognised, dtype=bool)
    if not len(told) or told.all() or not told.any():
        raise BadInput(
            f"{told.sum()} of {len(told)} images were recognised: thresholds need some of both kinds, so ask more"
            " people"
        )
    whose, shown = np.array(people), np.array(pictures)
    generator = np.random.default_rng(seed)
    return {
        name: Scored(
            agreement(np.array(values), told), intervals(np.array(values), told, whose, shown, generator), told
        )
        for name, values in scores.items()
    }


def _read(path: Path, kind: type[M], what: str) -> M:
    try:
        return kind.model_validate_json(user_text(path))
    except ValidationError as error:
        raise BadInput(f"{path} is not {what}: {error.errors()[0]['msg']}") from None
