"""From minutes to steps: what can be done in them is measured once, and then fixed; and how fast each step learns."""

import math
from dataclasses import dataclass

from .checkpoint import State

MARGIN = 0.95
"""Of the time that is left: a machine is seldom as fast for long as it was at first."""
TIMED = 0.02
"""Of the time there is, to time steps in: a machine that other guests share is fast and slow by turns, for seconds."""
PATIENCE = 5
"""Checks in a row without a better one after which it goes back to the best, and rates fall."""
FALL, FALLS = 1 / 3, 3
"""To what share of themselves rates fall, and how often; after that it ends."""


@dataclass(frozen=True)
class Costs:
    """Seconds."""

    step: float
    answers: float
    """Of the teacher, about the images of a step."""
    check: float


@dataclass(frozen=True)
class Course:
    """How training goes on, in steps."""

    per_pass: int
    views: int
    checks: int


def steps_in(seconds: float, costs: Costs, course: Course) -> int:
    """How many steps there is time for, with the teacher's answers on each new view, and the checks; one at least.

    Where there is no time for a pass, the teacher is asked about the images of its first steps alone.
    """
    left = seconds * MARGIN - costs.check * course.checks
    if left < (costs.step + costs.answers) * course.per_pass:
        return max(1, int(left / (costs.step + costs.answers)))
    steps = number = 0
    while True:
        if number < course.views:
            left -= costs.answers * course.per_pass
        if left < costs.step * course.per_pass:
            return steps + max(0, int(left / costs.step))
        left -= costs.step * course.per_pass
        steps += course.per_pass
        number += 1


def rate_at(step: int, steps: int, warmup: float) -> float:
    """The share of its rate that a step learns with: rising first, then falling as a cosine does."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def stalled(state: State, interval: int, alone: float = 0.0) -> bool:
    """Whether it has not become better for long at these rates; what attention learned alone does not count."""
    return state.step - max(state.best_step, state.fell, round(alone * state.steps)) >= PATIENCE * interval
