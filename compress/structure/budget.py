"""How a number of neurons to remove is shared out among layers: where the next few cost least, everywhere."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]
"""What it costs to remove the first n neurons of a layer, for n = 0, 1, …"""


def measured_curve(losses: Sequence[float], measured: Mapping[int, float]) -> Curve:
    """A curve that passes through what was measured; between the points it runs as the predicted losses do.

    `losses` is what each removal is predicted to add, in units of its own; `measured` the cost of some numbers.
    """
    predicted = np.concatenate([[0.0], np.cumsum(losses)])
    counts = sorted(measured)
    units = [measured[count] / predicted[count] if predicted[count] > 0 else 0.0 for count in counts]
    curve = predicted * np.interp(np.arange(len(predicted)), counts, units)
    return np.maximum.accumulate(curve)


def share_out(curves: Sequence[Curve], stops: Sequence[Sequence[int]], budget: int) -> list[int]:
    """How many neurons each layer gives up, as close below `budget` as the stops allow.

    A layer may stop at some numbers only, `stops`, in rising order from 0. Steps are taken in the order of their cost
    for each neuron; a step is not taken before those ahead of it, so a cheap one behind a dear one is priced with it.
    """
    steps = sorted(
        (price, layer, place)
        for layer, (curve, numbers) in enumerate(zip(curves, stops, strict=True))
        for place, price in enumerate(_prices(curve, numbers))
    )
    gone = [0] * len(curves)
    for _, layer, place in steps:
        size = stops[layer][place + 1] - stops[layer][place]
        if sum(gone) + size > budget:
            break
        gone[layer] += size
    return gone


def _prices(curve: Curve, stops: Sequence[int]) -> list[float]:
    """What a neuron costs in each step: the slopes of the curve's lower convex hull."""
    pools: list[tuple[float, int, int]] = []  # cost, neurons and steps of what is priced together
    for start, end in pairwise(stops):
        cost, neurons, steps = float(curve[end] - curve[start]), end - start, 1
        while pools and pools[-1][0] * neurons >= cost * pools[-1][1]:
            before = pools.pop()
            cost, neurons, steps = cost + before[0], neurons + before[1], steps + before[2]
        pools.append((cost, neurons, steps))
    return [cost / neurons for cost, neurons, steps in pools for _ in range(steps)]


def stops_of(width: int, multiple: int, most: int) -> list[int]:
    """The numbers of neurons that may go, at most `most`, so that a multiple is left, and not nothing."""
    lefts = range(width // multiple * multiple, 0, -multiple)
    return sorted({0, *(width - left for left in lefts if width - left <= most)})
