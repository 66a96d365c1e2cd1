"""Signatures, sealing, commitments, pairwise keys, shared secrets and certificates."""
