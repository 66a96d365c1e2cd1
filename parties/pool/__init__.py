"""The `pool` workflow: entities pool poisoned features, and each refines its decider on them (Deep Poisoning)."""
