"""Who acts where pictures are published with differential privacy."""
