"""PRIC: a collector publishes an extractor, participants send representations of their pictures (Li et al. 2020)."""
