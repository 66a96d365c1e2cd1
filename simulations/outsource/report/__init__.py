"""What the report of outsourced training says."""
