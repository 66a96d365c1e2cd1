"""Training of the shipped featurizer, and calibration of any featurizer."""
