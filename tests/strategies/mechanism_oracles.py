"""The mechanisms as their papers define them, in exact arithmetic and without haste; a search for profitable lies."""

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from fractions import Fraction

import numpy as np

Payments = dict[int, int]
Value = Callable[[Collection[int]], int]


def profitable_lie(
    payments_of: Callable[[Sequence[int]], dict], costs: Sequence[int], lies: Iterable[int], bidders: Iterable[int]
) -> tuple[int, int] | None:
    """Return a bidder and a bid that pays it more than the truth does, None where there is none."""
    honest = payments_of(costs)
    lies = list(lies)
    for bidder in bidders:
        cost = costs[bidder]
        utility = honest[bidder] - cost if bidder in honest else 0
        for lie in lies:
            answer = payments_of([*costs[:bidder], lie, *costs[bidder + 1 :]])
            if bidder in answer and answer[bidder] - cost > utility:
                return bidder, lie
    return None


def best_value(value: Value, costs: Sequence[int], budget: int, dearest: int | None = None) -> int:
    """Return the most that the budget buys from bidders whose costs are known."""
    affordable = [i for i, cost in enumerate(costs) if dearest is None or cost <= dearest]
    sets = itertools.chain.from_iterable(itertools.combinations(affordable, k) for k in range(len(affordable) + 1))
    return max(value(chosen) for chosen in sets if sum(costs[i] for i in chosen) <= budget)


def small_costs(generator: np.random.Generator) -> tuple[list[int], int]:
    """Draw up to six costs and a budget, with free bids, equal bids and bids above the budget among them."""
    budget = int(generator.integers(0, 13))
    dearest = generator.choice([2, 6, budget + 2])
    return generator.integers(0, dearest + 1, generator.integers(0, 7)).tolist(), budget


def singer_by_definition(costs: Sequence[int], budget: int, tie: Sequence[int]) -> Payments:
    order = sorted(range(len(costs)), key=lambda i: (costs[i], tie[i]))
    count = max((j for j in range(1, len(order) + 1) if j * costs[order[j - 1]] <= budget), default=0)
    if count == 0:
        return {}
    price = Fraction(budget, count)
    if count < len(order):
        price = min(price, Fraction(costs[order[count]]))
    return dict.fromkeys(order[:count], math.floor(price))


def fractional_knapsack(values: Sequence[int], costs: Sequence[int], budget: int) -> Fraction:
    worth, left = Fraction(0), Fraction(budget)
    for value, cost in sorted(zip(values, costs, strict=True), key=lambda bid: Fraction(bid[1], bid[0])):
        if cost > left:
            return worth + value * left / cost
        worth, left = worth + value, left - cost
    return worth


def reaches_gate(worth: Fraction, star: int) -> bool:
    """Return whether floor(worth) >= (1 + sqrt 2) star."""
    above = math.floor(worth) - star
    return above >= 0 and above**2 >= 2 * star**2


def chen_gravin_lu_by_definition(
    values: Sequence[int], costs: Sequence[int], budget: int, tie: Sequence[int], last_gate: bool = True
) -> Payments:
    eligible = [i for i in range(len(values)) if costs[i] <= budget and values[i] > 0]
    if not eligible:
        return {}
    star = min(eligible, key=lambda i: (-values[i], tie[i]))
    others = [i for i in eligible if i != star]

    def passes(bids: Sequence[int]) -> bool:
        worth = fractional_knapsack([values[i] for i in others], [bids[i] for i in others], budget)
        return reaches_gate(worth, values[star])

    if not passes(costs):
        return {star: budget}
    order = sorted(eligible, key=lambda i: (Fraction(costs[i], values[i]), tie[i]))
    total, count = 0, 0
    while count < len(order) and costs[order[count]] * (total + values[order[count]]) <= budget * values[order[count]]:
        total, count = total + values[order[count]], count + 1
    rate = Fraction(budget, total)
    if count < len(order):
        rate = min(rate, Fraction(costs[order[count]], values[order[count]]))
    payments = {i: math.floor(values[i] * rate) for i in order[:count]}
    if last_gate:
        for i in payments.keys() - {star}:
            asks = range(costs[i], payments[i] + 1)
            payments[i] = max(ask for ask in asks if passes([*costs[:i], ask, *costs[i + 1 :]]))
    return payments


def skewed_values(generator: np.random.Generator, bids: int) -> list[int]:
    """Draw values so that one bid is often worth about as much as all others: there the gate binds."""
    values = generator.integers(0, generator.choice([2, 3, 6, 20]) + 1, bids)
    if bids and generator.random() < 0.4:
        values[generator.integers(bids)] = max(1, values.sum() // 4)
    return values.tolist()


def clock_by_definition(
    value: Value, costs: Sequence[int], budget: int, order: Sequence[int], alpha: float, ceiling: int
) -> Payments:
    remaining = [u for u in order if costs[u] <= ceiling]
    prices = dict.fromkeys(remaining, ceiling)
    if not remaining or max(value([u]) for u in remaining) == 0:
        return {}
    current = [max(remaining, key=lambda u: value([u]))]
    previous: list[int] = []
    rho, finished = float(value(current)), False
    while not finished:
        rho, previous, current = rho * alpha, current, []
        for u in [u for u in remaining if u not in previous]:
            added = value([*current, u]) - value(current)
            prices[u] = min(prices[u], math.floor(Fraction(added * budget, math.floor(rho))))
            if added == 0 or costs[u] > prices[u]:
                remaining.remove(u)
            elif value(current) + added > rho:
                break
            else:
                current.append(u)
        finished = set(remaining) == set(previous) | set(current)

    def filled(base: list[int]) -> list[int]:
        chosen = list(base)
        while True:
            spent, worth = sum(prices[u] for u in chosen), value(chosen)
            others = [u for u in remaining if u not in chosen and spent + prices[u] <= budget]
            density = {
                u: (Fraction(value([*chosen, u]) - worth, prices[u]) if prices[u] else math.inf)
                for u in others
                if value([*chosen, u]) > worth
            }
            if not density:
                return chosen
            chosen.append(max(density, key=density.__getitem__))

    best = max((filled(base) for base in (previous, current, [])), key=value)
    return {u: prices[u] for u in best}


def greedy(
    value: Value, costs: Sequence[Fraction], budget: int, left_out: int | None = None
) -> tuple[list[int], Fraction]:
    """Add the most marginal value m per cost while c <= (B / 2) m / V; return the set and BEACON's payment to a bidder.

    The payment is the highest bid with which the bidder left out would have been taken at some step.
    """
    chosen: list[int] = []
    payment = Fraction(0)
    while True:

        def marginal(i: int) -> Fraction:
            return Fraction(value([*chosen, i]) - value(chosen))

        def allowed(i: int) -> Fraction:
            return Fraction(budget, 2) * marginal(i) / (value(chosen) + marginal(i))

        useful = [i for i in range(len(costs)) if i not in chosen and i != left_out and marginal(i) > 0]
        best = max(useful, key=lambda i: marginal(i) / costs[i], default=None)
        if left_out is not None and marginal(left_out) > 0:
            no_worse = allowed(left_out) if best is None else marginal(left_out) * costs[best] / marginal(best)
            payment = max(payment, min(allowed(left_out), no_worse))
        if best is None or costs[best] > allowed(best):
            return chosen, payment
        chosen.append(best)


def literal_payments(value: Value, costs: Sequence[Fraction], budget: int) -> dict[int, Fraction]:
    """Run CrowdBuy IV.C as written: the larger of greedy and the best single image, at BEACON's payments."""
    chosen, _ = greedy(value, costs, budget)
    best = max((i for i in range(len(costs)) if costs[i] <= budget), key=lambda i: value([i]), default=None)
    if best is not None and value([best]) > value(chosen):
        return {best: Fraction(budget)}
    return {i: greedy(value, costs, budget, left_out=i)[1] for i in chosen}


def additive(*values: int) -> Value:
    return lambda chosen: sum(values[i] for i in chosen)
