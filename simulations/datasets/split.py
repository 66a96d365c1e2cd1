"""Which side of the fence a picture is on."""

from typing import Literal

Split = Literal["public", "traded"]
"""Public pictures train and calibrate featurizers; traded ones fill albums. No picture is both."""
