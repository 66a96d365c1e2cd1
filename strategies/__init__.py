"""Pure computation: arrays in, arrays out; no I/O, no clock, no hidden randomness."""
