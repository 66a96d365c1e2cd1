"""`federate`: federated learning, the baseline, with its attackers."""
