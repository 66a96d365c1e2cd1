"""The papers' experiments, at a small scale: each module reproduces one paper, its numbers beside ours."""

from collections.abc import Callable

REPRODUCTIONS = {
    "crowdbuy": "Fig. 10 of CrowdBuy: whose pictures train the best CNN",
}
"""Reproductions by name; each is the module of that name, with ``reproduce(seeds, workshop, progress)``."""

Progress = Callable[[str, int, int], None]
"""Told what is going on, and how much of how much is done."""
