"""Critical payments of the proportional-share greedy for all winners, without running it again for each.

Without one winner the greedy makes the same choices until that winner's turn, and the same ones afterwards except near
it: what it covered is free, so bids that overlap it may come earlier, which moves bids that overlap those, and so on.
Only these *disturbed* bids are looked at again. The rest of the run is taken as it was, and over a stretch of it the
most that the winner could have asked is found by bisection: along the run, what lets it come before the next choice
grows, and what half the budget lets it ask falls.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from strategies.compiled import compiled
from strategies.features.coverage import Covered, cover
from strategies.features.overlap import around, marginal_to, members_by_block, near, overlap
from strategies.mechanisms.density_greedy import denser, freshest, proportional_share, sift_down, start

SLACK = 0.8
"""The run goes on past its end until densities fall below this share of what the budget allows: far enough for almost
all winners, without whom the greedy stops a little later."""
END, CHOICE, WAITING = 0, 1, 2
"""What comes next in a replay: the end of the run, a disturbed choice of the run, or a bid that waits."""


class Run(NamedTuple):
    """The greedy's run, and some way past its end.

    `chosen` and `added` are its choices and what each added, `value[t]` what the first t are worth, `turn` each bid's
    place among them (len(chosen): none). The first `winners` keep to the budget. `complete`: no other adds anything.
    """

    chosen: NDArray[np.int64]
    added: NDArray[np.int64]
    value: NDArray[np.int64]
    turn: NDArray[np.int64]
    winners: int
    complete: bool


class Blocks(NamedTuple):
    """Bids by block: those chosen, in their turns, and all that may be."""

    chosen_first: NDArray[np.int64]
    chosen: NDArray[np.int64]
    first: NDArray[np.int64]
    bids: NDArray[np.int64]


class Replay(NamedTuple):
    """Scratch of one replay.

    A bid is disturbed where its `mark` is the replay's winner, and taken where `took` is; `gains` is what disturbed
    ones add, or added when looked at last. `waiting` is a heap of them, the densest first, `turns` a heap of the turns
    of those that the run is still to choose.
    """

    mark: NDArray[np.int64]
    took: NDArray[np.int64]
    gains: NDArray[np.int64]
    waiting: NDArray[np.int64]
    turns: NDArray[np.int64]
    taken: NDArray[np.int64]
    fresh: NDArray[np.int64]
    others: NDArray[np.int64]


def critical_payments(
    covered: Covered, costs: NDArray[np.int64], budget: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the winners of `proportional_share`, and the most, rounded down, that each could have asked and won.

    Args:
        covered: Squares or signatures.
        costs: (n,); minor units.
        budget: The whole one.
    """
    run = _run(covered, costs, budget)
    if not run.winners:
        return run.chosen[:0], run.added[:0]
    blocks = Blocks(*members_by_block(covered, run.chosen), *members_by_block(covered, _able(covered, costs, run)))
    payments = _replay_all(covered, costs, budget, run, blocks)
    for place in np.flatnonzero(payments < 0):  # the run ended too early for these
        payments[place] = proportional_share(covered, costs, budget, run.chosen[place])[2]
    return run.chosen[: run.winners], payments


@compiled
def _run(covered: Covered, costs: NDArray[np.int64], budget: int) -> Run:
    heap, size, gains = start(covered, costs, -1)
    chosen, added = np.empty(len(costs), np.int64), np.empty(len(costs), np.int64)
    count, value, winners, complete = 0, 0, -1, False
    while True:
        size = freshest(covered, heap, size, gains, costs)
        if size == 0:
            complete = True
            break
        top = heap[0]
        if winners < 0 and 2 * costs[top] * (value + gains[top]) > budget * gains[top]:
            winners = count
        if winners >= 0 and 0.5 * budget * gains[top] < SLACK * costs[top] * (value + gains[top]):
            break
        cover(covered, top)
        chosen[count], added[count] = top, gains[top]
        count += 1
        value += gains[top]
        size -= 1
        heap[0] = heap[size]
        sift_down(heap, size, 0, gains, costs)
    values = np.zeros(count + 1, np.int64)
    turn = np.full(len(costs), count)
    for place in range(count):
        values[place + 1] = values[place] + added[place]
        turn[chosen[place]] = place
    return Run(chosen[:count], added[:count], values, turn, count if winners < 0 else winners, complete)


@compiled
def _able(covered: Covered, costs: NDArray[np.int64], run: Run) -> NDArray[np.int64]:
    """Return the bids that the run has chosen, or that are dense enough alone to be chosen before its end."""
    able = np.empty(len(costs), np.int64)
    count = 0
    for bid in range(len(costs)):
        chosen = run.turn[bid] < len(run.chosen)
        if chosen or not _too_thin(bid, marginal_to(covered, bid, able, 0), costs, run):
            able[count] = bid
            count += 1
    return able[:count]


@compiled
def _replay_all(covered: Covered, costs: NDArray[np.int64], budget: int, run: Run, blocks: Blocks) -> NDArray[np.int64]:
    bids, choices = len(costs), len(run.chosen)
    replay = Replay(
        np.full(bids, -1, np.int64),
        np.full(bids, -1, np.int64),
        np.empty(bids, np.int64),
        np.empty(bids, np.int64),
        np.empty(choices + 1, np.int64),
        np.empty(bids, np.int64),
        np.empty(bids, np.int64),
        np.empty(bids, np.int64),
    )
    payments = np.empty(run.winners, np.int64)
    for winner in range(run.winners):
        payments[winner] = _payment(winner, covered, costs, budget, run, blocks, replay)
    return payments


@compiled
def _payment(
    winner: int,
    covered: Covered,
    costs: NDArray[np.int64],
    budget: int,
    run: Run,
    blocks: Blocks,
    replay: Replay,
) -> int:
    """Return the critical payment of one winner; -1: the run is too short to tell."""
    end, left_out = len(run.chosen), run.chosen[winner]
    turn, own, most = winner + 1, run.added[winner], 0
    change = -own  # what the replay's choices are worth, less what the run's are
    taken = 0
    waiting, coming = _disturb(left_out, winner, turn, taken, 0, 0, covered, costs, run, blocks, replay)
    while True:
        until, comes = _next(turn, waiting, coming, costs, run, replay)
        stop = _stop(turn, until, change, costs, budget, run)
        most = max(most, _stretch(turn, min(until, stop + 1), own, change, costs, budget, run))
        if stop < until:
            return int(most)
        turn = until
        if turn == end and not run.complete:
            return -1
        value = run.value[turn] + change
        if comes == END:
            return int(max(most, budget * own // (2 * (value + own))))
        moved = -1
        if comes == CHOICE:
            coming = _pop_turn(replay.turns, coming)
            if replay.took[run.chosen[turn]] != winner:
                moved = run.chosen[turn]
            change -= run.added[turn]
            turn += 1
        else:
            bid = replay.waiting[0]
            gain = _gain(bid, winner, turn, taken, covered, run, blocks, replay)
            if gain != replay.gains[bid]:
                waiting = _wait_anew(gain, waiting, costs, run, replay)
                continue
            most = max(most, min(own * costs[bid] // gain, budget * own // (2 * (value + own))))
            if 2 * costs[bid] * (value + gain) > budget * gain:
                return int(most)
            waiting = _pop_waiting(replay, waiting, costs)
            replay.took[bid] = winner
            replay.taken[taken] = bid
            taken += 1
            change += gain
            freed = overlap(covered, bid, left_out)
            own = _gain(left_out, winner, turn, taken, covered, run, blocks, replay) if freed else own
            if own == 0:
                return int(most)
            if turn == end or run.chosen[turn] != bid:
                moved = bid
        if moved >= 0:
            waiting, coming = _disturb(moved, winner, turn, taken, waiting, coming, covered, costs, run, blocks, replay)


@compiled
def _next(turn: int, waiting: int, coming: int, costs: NDArray[np.int64], run: Run, replay: Replay) -> tuple[int, int]:
    """Return up to which turn the run is undisturbed, and what comes then."""
    until, comes = len(run.chosen), END
    if coming > 0:
        until, comes = replay.turns[0], CHOICE
    if waiting > 0:
        densest = replay.waiting[0]
        if comes == END or _precedes(densest, until, costs, run, replay):
            low, high = turn, until
            while low < high:
                middle = (low + high) // 2
                if _precedes(densest, middle, costs, run, replay):
                    high = middle
                else:
                    low = middle + 1
            until, comes = low, WAITING
    return until, comes


@compiled
def _stop(first: int, last: int, change: int, costs: NDArray[np.int64], budget: int, run: Run) -> int:
    """Return the first of these choices that asks more than its share of the budget; `last`: none does."""
    low, high = first, last
    while low < high:
        middle = (low + high) // 2
        gain = run.added[middle]
        if 2 * costs[run.chosen[middle]] * (run.value[middle] + change + gain) > budget * gain:
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def _wait_anew(gain: int, waiting: int, costs: NDArray[np.int64], run: Run, replay: Replay) -> int:
    """Let the densest bid wait with what it adds now, if it may still be chosen; return how many bids wait."""
    bid = replay.waiting[0]
    replay.gains[bid] = gain
    if gain == 0 or _too_thin(bid, gain, costs, run):
        return _pop_waiting(replay, waiting, costs)
    sift_down(replay.waiting, waiting, 0, replay.gains, costs)
    return waiting


@compiled
def _disturb(
    moved: int,
    winner: int,
    turn: int,
    taken: int,
    waiting: int,
    coming: int,
    covered: Covered,
    costs: NDArray[np.int64],
    run: Run,
    blocks: Blocks,
    replay: Replay,
) -> tuple[int, int]:
    """Mark what overlaps a bid that the replay has and the run has not, or the other way round; let it wait its turn.

    Returns:
        How many bids wait, and how many disturbed ones the run is still to choose.
    """
    left_out = run.chosen[winner]
    fresh = 0
    for place in range(around(covered)):
        block = near(covered, moved, place)
        if block < 0:
            continue
        for member in range(blocks.first[block], blocks.first[block + 1]):
            bid = blocks.bids[member]
            if replay.mark[bid] == winner or bid == left_out or run.turn[bid] < turn:
                continue
            if not overlap(covered, bid, moved):
                continue
            replay.mark[bid] = winner
            replay.fresh[fresh] = bid
            fresh += 1
    for number in range(fresh):
        bid = replay.fresh[number]
        gain = _gain(bid, winner, turn, taken, covered, run, blocks, replay)
        replay.gains[bid] = gain
        if run.turn[bid] < len(run.chosen):
            coming = _push_turn(replay.turns, coming, run.turn[bid])
        if gain > 0 and not _too_thin(bid, gain, costs, run):
            waiting = _push_waiting(replay, waiting, bid, costs)
    return waiting, coming


@compiled
def _gain(
    bid: int, winner: int, turn: int, taken: int, covered: Covered, run: Run, blocks: Blocks, replay: Replay
) -> int:
    """Return what a bid adds to the replay's choices so far."""
    count = 0
    for place in range(around(covered)):
        block = near(covered, bid, place)
        if block < 0:
            continue
        for member in range(blocks.chosen_first[block], blocks.chosen_first[block + 1]):
            other = blocks.chosen[member]
            if run.turn[other] >= turn:
                break
            if replay.mark[other] != winner and other != run.chosen[winner]:
                replay.others[count] = other
                count += 1
    for place in range(taken):
        replay.others[count] = replay.taken[place]
        count += 1
    gain: int = marginal_to(covered, bid, replay.others, count)
    return gain


@compiled
def _too_thin(bid: int, gain: int, costs: NDArray[np.int64], run: Run) -> bool:
    """Return whether a bid is less dense than all that the run has chosen, and so never chosen before its end."""
    last = len(run.chosen) - 1
    return bool(not run.complete and gain * costs[run.chosen[last]] < run.added[last] * costs[bid])


@compiled
def _precedes(bid: int, place: int, costs: NDArray[np.int64], run: Run, replay: Replay) -> bool:
    """Return whether a bid that waits goes before a choice of the run."""
    other = run.chosen[place]
    left, right = replay.gains[bid] * costs[other], run.added[place] * costs[bid]
    return bool(left > right or (left == right and bid <= other))


@compiled
def _stretch(first: int, last: int, own: int, change: int, costs: NDArray[np.int64], budget: int, run: Run) -> int:
    """Return the most that a bid could ask and come before one of these choices, within its share of the budget."""
    low, high = first, last
    while low < high:
        middle = (low + high) // 2
        before = own * costs[run.chosen[middle]] // run.added[middle]
        if before >= budget * own // (2 * (run.value[middle] + change + own)):
            high = middle
        else:
            low = middle + 1
    most = 0
    for place in range(max(first, low - 1), min(low + 1, last)):
        before = own * costs[run.chosen[place]] // run.added[place]
        most = max(most, min(before, budget * own // (2 * (run.value[place] + change + own))))
    return most


@compiled
def _push_waiting(replay: Replay, waiting: int, bid: int, costs: NDArray[np.int64]) -> int:
    place = waiting
    while place > 0 and denser(replay.gains, costs, bid, replay.waiting[(place - 1) // 2]):
        replay.waiting[place] = replay.waiting[(place - 1) // 2]
        place = (place - 1) // 2
    replay.waiting[place] = bid
    return waiting + 1


@compiled
def _pop_waiting(replay: Replay, waiting: int, costs: NDArray[np.int64]) -> int:
    waiting -= 1
    if waiting > 0:
        replay.waiting[0] = replay.waiting[waiting]
        sift_down(replay.waiting, waiting, 0, replay.gains, costs)
    return waiting


@compiled
def _push_turn(turns: NDArray[np.int64], coming: int, turn: int) -> int:
    place = coming
    while place > 0 and turn < turns[(place - 1) // 2]:
        turns[place] = turns[(place - 1) // 2]
        place = (place - 1) // 2
    turns[place] = turn
    return coming + 1


@compiled
def _pop_turn(turns: NDArray[np.int64], coming: int) -> int:
    coming -= 1
    turn, place = turns[coming], 0
    while 2 * place + 1 < coming:
        child = 2 * place + 1
        if child + 1 < coming and turns[child + 1] < turns[child]:
            child += 1
        if turns[child] >= turn:
            break
        turns[place] = turns[child]
        place = child
    turns[place] = turn
    return coming
