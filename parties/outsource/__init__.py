"""Outsourced training: owners publish obfuscated images, a service trains on them and returns the model."""
