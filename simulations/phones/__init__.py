"""Phones: what models there are, who has which, and what a purchase takes on them in virtual time."""
