"""Sums of what parties computed, of which nobody sees a summand: for any workflow."""
