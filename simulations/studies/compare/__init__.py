"""Which way of sharing to use: all workflows on one cohort, with the same attackers, on one page.

`settings` says what is compared, `methods` which ways of sharing there are, `plan` which runs play them, `playing`
plays the runs side by side, `table` makes one row of each method, `paired` compares methods person by person, `choose`
answers a question, and `page` writes ``compare.html``.
"""

from simulations.studies.compare.playing import compare
from simulations.studies.compare.settings import Comparison, load_comparison

__all__ = ["Comparison", "compare", "load_comparison"]
