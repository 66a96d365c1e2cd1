"""The papers' experiments, at a small scale: each module reproduces one paper, its numbers beside ours."""

REPRODUCTIONS = {
    "crowdbuy": "Fig. 10 of CrowdBuy: whose pictures train the best CNN",
    "pric": "Figs. 3 and 4 of PRIC: what representations hide from a fresh classifier, and what it costs",
}
"""Reproductions by name; each is the module of that name, with ``reproduce(seeds, workshop, progress)``, and maybe more
arguments that `parley reproduce` takes."""

SCALES: dict[str, tuple[str, ...]] = {
    "pric": ("faces", "celeba"),
}
"""Data sets that a reproduction can be run on, its default first; those that are not here paint their pictures."""
