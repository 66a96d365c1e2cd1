"""Looks for lies that pay, and for payments that break a mechanism's word, in exact arithmetic."""

from strategies.mechanisms.auditing.audit import Audit, Best, Gain, audit, best_of
from strategies.mechanisms.auditing.cases import Case, Stakes
from strategies.mechanisms.auditing.violation import Violation

__all__ = ["Audit", "Best", "Case", "Gain", "Stakes", "Violation", "audit", "best_of"]
