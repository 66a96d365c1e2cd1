"""Flower apps on Parley's grids, and Parley as a Flower app."""
