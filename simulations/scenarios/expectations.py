"""The results that a scenario expects, so that a scenario is a test.

An expectation is a key of ``report.json`` and a condition on it: ``outcome.precision: ">= 0.9"``,
``outcome.upheld: "== outcome.complaints"``, ``adversaries.swapped-delivery.profit: "<= 0"``. Money is in
minor units, as in the report. Rows are named by what keys them: ``leaks.METHOD.CRITERION.risk`` is that of the
strongest attack of any observer, ``utility.METHOD.retained``, ``costs.ROLE.sent``; an estimate is its value, or its
``low`` or ``high``.
"""

import difflib
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*(?:(-?\d+(?:\.\d+)?)|([a-z][\w-]*(?:\.[\w-]+)+))\s*")


@dataclass(frozen=True)
class Condition:
    """A comparison with a number, or with another key of the report."""

    sign: str
    number: float | None
    key: str | None


def parse_condition(text: str) -> Condition:
    """Read a condition.

    Raises:
        ValueError: When it is not a condition.

    Examples:
        >>> parse_condition(">= 0.9")
        Condition(sign='>=', number=0.9, key=None)
        >>> parse_condition("== outcome.complaints").key
        'outcome.complaints'
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not a condition; write one of {' '.join(_OPERATORS)} and a number or a key of the report,"
            ' for example ">= 0.9"'
        )
    sign, number, key = match.groups()
    return Condition(sign, None if number is None else float(number), key)


def report_keys(report: type[BaseModel], common: type[BaseModel], scenario: BaseModel) -> Iterator[str]:
    """Yield the keys of a workflow's report with numbers, which ``expect`` may name.

    Named parts of the report, such as methods, have the names in the scenario's key of the same name, or those that
    the key's type lists.

    Args:
        report: The workflow's report.
        common: The part of all reports; its keys are not for ``expect``.
    """
    for name, field in report.model_fields.items():
        kinds = _parts(field.annotation)
        if get_origin(kinds[0]) is list and _is_model(row := get_args(kinds[0])[0]) and hasattr(row, "keyed_by"):
            for keys in product(*(_names(row, key) for key in row.keyed_by)):
                yield from _numbers(row, ".".join((name, *keys)))
        if name in common.model_fields:
            continue
        if get_origin(kinds[0]) is dict:
            named, inner = get_args(kinds[0])
            names = get_args(named) or tuple(getattr(scenario, name, ()))
            if _is_model(inner):
                for each in names:
                    yield from _numbers(inner, f"{name}.{each}")
        else:
            for kind in filter(_is_model, kinds):
                yield from _numbers(kind, name)


def _names(row: type[BaseModel], key: str) -> tuple[str, ...]:
    """Return what a key of a row may be; ``*`` where that shows only when the run is over."""
    return get_args(row.model_fields[key].annotation) or ("*",)


def _numbers(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        kinds = _parts(field.annotation)
        for kind in filter(_is_model, kinds):
            if "value" in kind.model_fields:
                yield f"{prefix}.{name}"
            yield from _numbers(kind, f"{prefix}.{name}")
        if int in kinds or float in kinds:
            yield f"{prefix}.{name}"


def _parts(annotation: Any) -> tuple[Any, ...]:
    """Return the types of a union without None, or the type itself."""
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return tuple(option for option in options if option is not NoneType)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def unknown(expect: Mapping[str, str], known: Sequence[str]) -> str | None:
    """Return a sentence on the first key that the report does not have, None when it has all.

    Args:
        expect: Conditions by key.
        known: The keys of the report.
    """
    for key in (name for left, text in expect.items() for name in (left, parse_condition(text).key)):
        if key is not None and not any(fnmatchcase(key, name) for name in known):
            close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            groups = sorted({name.partition(".")[0] for name in known})
            advice = f"did you mean {close[0]}?" if close else f"its keys begin with {' or '.join(groups)}"
            return f"expect: the report has no {key}; {advice}"
    return None


def unmet(expect: Mapping[str, str], report: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each expectation that the report does not meet.

    Examples:
        >>> unmet({"outcome.bids": "> 3", "outcome.paid": "== outcome.bids"}, {"outcome": {"bids": 3, "paid": 3}})
        ['expected outcome.bids > 3, but it is 3']
    """
    failed = []
    for key, text in expect.items():
        condition = parse_condition(text)
        value = _figure(report, key)
        wanted = condition.number if condition.key is None else _figure(report, condition.key)
        if value is None or wanted is None or not _OPERATORS[condition.sign](value, wanted):
            other = "" if condition.key is None else f" = {_written(wanted)}"
            failed.append(f"expected {key} {text.strip()}{other}, but it is {_written(value)}")
    return failed


def _figure(value: Any, key: str) -> float | None:
    """Return the number that a key names in a report, or in a part of it; of several rows, in that of most risk."""
    if isinstance(value, list):
        ranked = sorted(value, key=_risk, reverse=True)
        return next((found for row in ranked if (found := _of_row(row, key)) is not None), None)
    if isinstance(value, Mapping) and key:
        name, _, rest = key.partition(".")
        return _figure(value.get(name), rest)
    if isinstance(value, Mapping) and "value" in value:
        value = value["value"]
    return value if isinstance(value, (int, float)) and not key else None


def _risk(row: Mapping[str, Any]) -> float:
    """Return the risk of a row, for those that have one: several observers may have attacked in the same way."""
    return float((row.get("risk") or {}).get("value", -1.0))


def _of_row(row: Mapping[str, Any], key: str) -> float | None:
    """Return the number that a key names in a row, where it begins with what keys the row, which may hold dots."""
    for name in ("method", "role", "criterion"):
        if name in row:
            if not key.startswith(f"{row[name]}."):
                return None
            key = key.removeprefix(f"{row[name]}.")
    return _figure(row, key)


def _written(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
