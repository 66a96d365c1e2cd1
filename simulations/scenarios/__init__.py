"""Scenarios: what they may say, their files, and what they expect."""
