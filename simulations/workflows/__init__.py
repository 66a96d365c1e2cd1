"""The six workflows, each a package of the same shape."""
