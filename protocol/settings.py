"""What sections of settings have in common, in scenarios and in kits."""

from typing import Annotated

from annotated_types import Ge, Le
from pydantic import BaseModel, ConfigDict

Share = Annotated[float, Ge(0), Le(1)]


class Section(BaseModel):
    """A part of a scenario; keys it does not know are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
