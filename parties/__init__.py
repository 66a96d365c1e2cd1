"""Who acts: one class per role, one method per protocol step."""
