"""What `parley doctor` finds."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        subject: What was checked.
        severity: FAILED: the party cannot work; WARNING: it may not, or not for long.
        seen: What was found.
        fix: What to do about it; empty if nothing is wrong.
    """

    subject: str
    severity: Severity
    seen: str
    fix: str = ""


def ok(subject: str, seen: str) -> Finding:
    """Return a finding that nothing is wrong."""
    return Finding(subject, Severity.OK, seen)


def warning(subject: str, seen: str, fix: str) -> Finding:
    """Return a finding that something may be wrong."""
    return Finding(subject, Severity.WARNING, seen, fix)


def failed(subject: str, seen: str, fix: str) -> Finding:
    """Return a finding that something is wrong."""
    return Finding(subject, Severity.FAILED, seen, fix)
