"""A deterministic simulation of faults: the real programs in virtual time, from one seed (see README.md)."""
