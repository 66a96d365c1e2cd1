"""Parties as processes on their own machines: provisioning, start-up and operation."""
