"""How the shipped featurizer was trained, and how any featurizer is calibrated."""
