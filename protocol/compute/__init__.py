"""Ray clusters, and workshops that compute jobs side by side on them."""
