"""The papers' experiments, at a small scale: each module reproduces one paper, its numbers beside ours."""

REPRODUCTIONS = {
    "crowdbuy": "Fig. 10 of CrowdBuy: whose pictures train the best CNN",
}
"""Reproductions by name; each is the module of that name, with ``reproduce(seeds, workshop, progress)``."""
