"""Attacks on models, gradients and features."""
