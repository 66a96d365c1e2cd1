"""The papers' experiments at a small scale: each module reproduces one paper and compares its numbers with ours."""

REPRODUCTIONS = {
    "crowdbuy": "Fig. 10 of CrowdBuy: which mechanism buys the best pictures for a CNN",
    "crowdbuy-selection": "Figs. 7 to 9 of CrowdBuy: what each quality buys, beside a bound, at the paper's size",
    "deep-poisoning": "Tables 1 to 5 of Deep Poisoning: what poisoned features hide, and their use in training",
    "obfuscation": "Tables 2 to 7 and Figs. 1 to 5 of image obfuscation: what it hides, and what is learned from it",
    "pric": "Figs. 3 and 4 of PRIC: what is hidden from a fresh classifier, and the loss of accuracy",
}
"""Reproductions by the name of their module, which has ``reproduce(seeds, workshop, progress)``; some take further
arguments of `parley reproduce`."""

DATASETS = {
    "deep-poisoning": ("painted", "imagenet"),
    "obfuscation": ("pets", "oxford_pets", "stl10", "folder"),
    "pric": ("faces", "celeba"),
}
"""Data sets of a reproduction for ``--dataset``; the first is the default."""
