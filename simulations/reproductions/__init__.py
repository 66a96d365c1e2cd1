"""The papers' experiments, at a small scale: each module reproduces one paper, its numbers beside ours."""

REPRODUCTIONS = {
    "crowdbuy": "Fig. 10 of CrowdBuy: whose pictures train the best CNN",
    "deep-poisoning": "Tables 1 to 5 of Deep Poisoning: what poisoned features hide, and what they are worth",
}
"""Reproductions by name; each is the module of that name, with ``reproduce(seeds, workshop, progress)``, and maybe more
arguments that `parley reproduce` takes."""
