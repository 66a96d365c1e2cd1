"""Databases, the ledger, the vault, and files that survive a crash."""
