"""The survey as one self-contained web page."""

import base64
import json
from collections.abc import Mapping
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from protocol.storage.package import packaged_file
from simulations.studies.survey.questions import Key


def survey_page(pictures: NDArray[np.uint8], key: Key, references: Mapping[str, NDArray[np.uint8]]) -> str:
    """Return the page.

    It has the pictures, lossless, and the choices, but not the answers.

    Args:
        pictures: (questions, side, side, 3)
        key: Only the survey's id and the choices go into the page.
        references: Each (side, side, 3); a clean picture of each class, to explain the names; may be empty.
    """
    data = {
        "survey": key.survey,
        "choices": key.class_names,
        "pictures": [_embedded(picture, lossless=True) for picture in pictures],
        "references": {name: _embedded(picture, lossless=False) for name, picture in references.items()},
    }
    template = packaged_file("simulations/studies/survey/page.html").read_text(encoding="utf-8")
    return template.replace("{{ data }}", json.dumps(data).replace("<", "\\u003c"))


def _embedded(picture: NDArray[np.uint8], *, lossless: bool) -> str:
    stream = BytesIO()
    Image.fromarray(picture).save(stream, "webp", lossless=lossless, quality=90)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
