"""What parties may say: one module per workflow."""
