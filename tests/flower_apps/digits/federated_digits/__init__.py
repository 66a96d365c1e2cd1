"""Federated logistic regression on scanned digits."""
