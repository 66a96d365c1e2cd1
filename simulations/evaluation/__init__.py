"""One evaluation for all workflows: attacks on views, their scores, and the rows of the reports.

- A *view* is all that an observer received in a run, with the protocol's public values (`simulations.runs.views`).
- *Knowledge* is what an attacker has beside it, declared in words and in data.
- An *attack* makes guesses of a view and of knowledge; it never sees the truth. It is a workshop's job.
- A *score* compares guesses with the truth; nothing else sees the truth.

What comes of it are rows of one schema (`simulations.reports.evaluation`).
"""

from simulations.evaluation.costs import costs, costs_of_methods
from simulations.evaluation.effects import effects, with_effects
from simulations.evaluation.estimates import constant, mean, proportion
from simulations.evaluation.leaks import Guesses, leak, ranked, retained, utility

__all__ = [
    "Guesses",
    "constant",
    "costs",
    "costs_of_methods",
    "effects",
    "leak",
    "mean",
    "proportion",
    "ranked",
    "retained",
    "utility",
    "with_effects",
]
