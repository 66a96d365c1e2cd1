"""Reports: ``report.json`` for programs, ``report.html`` for people."""

from simulations.report.model import SCHEMA_VERSION, Report

__all__ = ["SCHEMA_VERSION", "Report"]
