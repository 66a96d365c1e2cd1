"""Secure sums of what parties computed, for any workflow: summands stay hidden."""
