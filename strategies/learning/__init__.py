"""How networks are trained, initialised and turned into rows of weights."""
