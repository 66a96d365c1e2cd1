"""The papers' experiments, at a small scale: each module reproduces one paper, its numbers beside ours."""

REPRODUCTIONS = {
    "crowdbuy": "Fig. 10 of CrowdBuy: whose pictures train the best CNN",
    "obfuscation": "Tables 2 to 7 and Fig. 5 of image obfuscation: what it hides, and what can be learned from it",
}
"""Reproductions by name; each is the module of that name, with ``reproduce(seeds, workshop, progress)``, and maybe more
arguments that `parley reproduce` takes."""

DATASETS = {"obfuscation": ("pets", "oxford_pets", "stl10", "folder")}
"""Data sets that a reproduction takes with ``--dataset``, its own first."""
