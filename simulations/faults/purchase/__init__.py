"""The town of `purchase`."""
