"""Writes a survey's folder."""

from pathlib import Path

import numpy as np

from simulations.data.labelled import labelled_images
from simulations.runs.output import whole_or_nothing
from simulations.studies.survey.page import survey_page
from simulations.studies.survey.questions import EACH, SIDE, Key, make_questions
from strategies.features.featurizer import prepare


def make_survey(out: Path, dataset: str, root: Path | None, classes: int, seed: int, each: int = EACH) -> Key:
    """Write ``survey.html``, for participants, and ``key.json``, for scoring their answers.

    Raises:
        BadInput: When the data set is not available or has too few images or classes.
        OutputExists: When the folder is there.
    """
    with whole_or_nothing(out) as folder:
        images = labelled_images(dataset, root, seed, classes=classes, side=SIDE)
        pictures, key = make_questions(images, dataset, seed, each=each)
        album, labels = images.take(len(images.class_names), "survey references")
        references = {
            images.class_names[label]: prepare(album[index], SIDE // 2)
            for index, label in enumerate(np.asarray(labels))
        }
        (folder / "survey.html").write_text(survey_page(pictures, key, references), encoding="utf-8")
        (folder / "key.json").write_text(key.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return key
