"""Parties as processes on machines of their own: their kits, their start-up, and what keeps them running."""
