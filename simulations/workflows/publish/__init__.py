"""`publish`: owners publish pictures with differential privacy, and what that is worth."""
