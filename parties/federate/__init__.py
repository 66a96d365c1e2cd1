"""Who acts in federated learning, the baseline."""
