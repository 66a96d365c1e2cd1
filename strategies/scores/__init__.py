"""How alike images are, and how well people are recognised in them."""
