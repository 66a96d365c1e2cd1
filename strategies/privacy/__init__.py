"""Accounting, audits, and the arithmetic of secure sums."""
