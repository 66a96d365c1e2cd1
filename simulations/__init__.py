"""Worlds, scenarios, reports and the command line."""
