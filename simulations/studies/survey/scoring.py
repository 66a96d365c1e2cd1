"""ROC curves and thresholds from answers (Raynal et al. 2020, section 4.2.3)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from protocol.errors import BadInput
from protocol.storage.user_files import user_text
from simulations.studies.survey.questions import Key
from strategies.scores.recognition import Agreement, agreement

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


def score_answers(key: Key, sheets: Sequence[Answers]) -> dict[str, Agreement]:
    """Return the agreement of every privacy score with people.

    Every component of every answered question is one comparison: it is recognised if its class was chosen.

    Raises:
        BadInput: When all comparisons, or none, were recognised, so that no curve can be drawn.
    """
    recognised = np.array(
        [
            component in chosen
            for sheet in sheets
            for number, chosen in sheet.answers.items()
            for component in key.questions[number - 1].components
        ],
        dtype=bool,
    )
    if not len(recognised) or recognised.all() or not recognised.any():
        raise BadInput(
            f"{recognised.sum()} of {len(recognised)} images were recognised: thresholds need some of both kinds, so"
            " ask more people"
        )
    return {
        name: agreement(
            np.array(
                [
                    score
                    for sheet in sheets
                    for number in sheet.answers
                    for score in key.questions[number - 1].scores[name]
                ]
            ),
            recognised,
        )
        for name in key.questions[0].scores
    }


def _read(path: Path, kind: type[M], what: str) -> M:
    try:
        return kind.model_validate_json(user_text(path))
    except ValidationError as error:
        raise BadInput(f"{path} is not {what}: {error.errors()[0]['msg']}") from None
