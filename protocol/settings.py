"""What sections of settings have in common, in scenarios and in kits."""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, ClassVar, get_args

from annotated_types import Ge, Le
from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from protocol.strict_yaml import write_yaml

Share = Annotated[float, Ge(0), Le(1)]


class Section(BaseModel):
    """A part of a scenario; keys it does not know are errors."""

    RENAMED: ClassVar[Mapping[str, str]] = {}
    """Keys by the names that they had in the last release, which are read with a warning."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _flags_are_no_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false for numbers, for which Pydantic takes them."""
        field = cls.model_fields.get(info.field_name or "")
        if field is not None and _has_flag(value) and not _takes_flags(field.annotation):
            raise ValueError("a number or text belongs here")
        return value


def yaml_lines(section: Section, only: Collection[str] = (), indent: int = 0) -> Iterator[str]:
    """Yield a section's lines in YAML, each key with its description.

    Args:
        only: The keys to write; none: all.
        indent: Of each line, in steps of two spaces.
    """
    pad, plain = "  " * indent, section.model_dump(mode="json")
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        if only and name not in only:
            continue
        if isinstance(value, Section):
            yield ""
            yield f"{pad}# {(type(value).__doc__ or '').strip()}"
            yield f"{pad}{name}:"
            yield from yaml_lines(value, indent=indent + 1)
        else:
            rendered = write_yaml(plain[name], default_flow_style=True, width=1000).removesuffix("\n...\n").strip()
            yield f"{pad}{name}: {rendered}  # {info.description}"


def _has_flag(value: object) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return isinstance(value, bool) or any(_has_flag(each) for each in inner)


def _takes_flags(annotation: Any) -> bool:
    """Say whether a value of this type may be, or hold, true or false; sections inside check their own."""
    if annotation in (bool, Any) or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return True
    return any(_takes_flags(each) for each in get_args(annotation) if isinstance(each, type) or get_args(each))
