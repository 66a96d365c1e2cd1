"""The papers' experiments, at a small scale: each module reproduces one paper, its numbers beside ours."""

REPRODUCTIONS = {
    "crowdbuy": "Fig. 10 of CrowdBuy: whose pictures train the best CNN",
    "deep-poisoning": "Tables 1 to 5 of Deep Poisoning: what poisoned features hide, and what they are worth",
    "obfuscation": "Tables 2 to 7 and Fig. 5 of image obfuscation: what it hides, and what can be learned from it",
    "pric": "Figs. 3 and 4 of PRIC: what representations hide from a fresh classifier, and what it costs",
}
"""Reproductions by name; each is the module of that name, with ``reproduce(seeds, workshop, progress)``, and maybe more
arguments that `parley reproduce` takes."""

DATASETS = {
    "deep-poisoning": ("painted", "imagenet"),
    "obfuscation": ("pets", "oxford_pets", "stl10", "folder"),
    "pric": ("faces", "celeba"),
}
"""Data sets that a reproduction takes with ``--dataset``, its own first."""
