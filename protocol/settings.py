"""What sections of settings have in common, in scenarios and in kits."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from annotated_types import Ge, Le
from pydantic import BaseModel, ConfigDict

Share = Annotated[float, Ge(0), Le(1)]


class Section(BaseModel):
    """A part of a scenario; keys it does not know are errors."""

    RENAMED: ClassVar[Mapping[str, str]] = {}
    """Keys by the names that they had in the last release, which are read with a warning."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
