"""Scenarios: their keys, their files, and their expectations."""
