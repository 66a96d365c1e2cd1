"""Outsourced training on obfuscated images: scenario, world, attackers, scores, report."""
