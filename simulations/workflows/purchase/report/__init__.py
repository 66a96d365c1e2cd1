"""The report of a purchase, and of a sweep of many."""
