"""The `pool` workflow in a simulation: its world, what attackers make of the pool, and the report."""
