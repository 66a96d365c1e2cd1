"""Words and wires: what parties may say, how it is sealed, recorded and carried."""
