"""The gate: what was allowed, what is seen, and whether the one holds the other: pass, fail, or inconclusive.

A limit is passed when the whole interval of what was seen lies within it, failed when the whole interval lies beyond,
and left undecided otherwise. So at the limit itself each of the two is wrong at most one time in forty.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import overload

from rich.table import Table
from rich.text import Text

from ..errors import UserError
from .paired import Flips
from .table import clean


class Verdict(StrEnum):
    """What becomes of a limit."""

    PASS = "pass"  # noqa: S105  (no password)
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    UNCHECKED = "unchecked"
    """A plausibility check that could not be made; it is said, and stops nothing."""


STYLES = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.INCONCLUSIVE: "yellow", Verdict.UNCHECKED: "dim"}


@dataclass(frozen=True)
class Limits:
    """What a candidate may cost over the baseline: points of top-1, and shares of time, bytes, memory and energy."""

    drop: float = 0.5
    slowdown: float = 0.05
    size: float | None = None
    memory: float | None = None
    energy: float | None = None


@dataclass(frozen=True)
class Ratio:
    """How many times as much time the candidate takes, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Pair:
    """What is known of a candidate beside a baseline. None: not measured; `why` is for the time."""

    name: str
    flips: Flips | None
    time: Ratio | None
    why: str
    bytes: tuple[int, int]
    memory: tuple[float | None, float | None]
    energy: tuple[float | None, float | None]


@dataclass(frozen=True)
class Finding:
    """One limit, or one implausible thing, and what became of it."""

    pair: str
    what: str
    verdict: Verdict
    reason: str


def judge(pair: Pair, limits: Limits) -> list[Finding]:
    """Every limit that was set, on one pair."""
    found = [("accuracy", _accuracy(pair.flips, limits.drop)), ("time", _time(pair, limits.slowdown))]
    for what, limit, values in (
        ("size", limits.size, pair.bytes),
        ("memory", limits.memory, pair.memory),
        ("energy", limits.energy, pair.energy),
    ):
        if limit is not None:
            found.append((what, _amount(values, limit)))
    return [Finding(pair.name, what, *judged) for what, judged in found]


def stopping(findings: Iterable[Finding], *, allow_inconclusive: bool) -> list[Finding]:
    """Those that stop a build, failures first."""
    undecided = [] if allow_inconclusive else [one for one in findings if one.verdict is Verdict.INCONCLUSIVE]
    return [*(one for one in findings if one.verdict is Verdict.FAIL), *undecided]


def table(findings: Iterable[Finding]) -> Table:
    """The verdicts for a terminal."""
    made = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for one in findings:
        made.add_row(
            Text(one.verdict, STYLES[one.verdict]), Text(clean(one.pair)), Text(one.what), Text(clean(one.reason))
        )
    return made


@overload
def share(word: str) -> float: ...
@overload
def share(word: None) -> None: ...
def share(word: str | None) -> float | None:
    """The share that a word as 5% says."""
    if word is None:
        return None
    number, percent, rest = word.strip().partition("%")
    try:
        found = float(number) / 100
    except ValueError:
        found = math.nan
    if not percent or rest or not 0 <= found < math.inf:
        raise UserError(f"a limit is {word!r}; it must be a percentage of at least 0, as 5%")
    return found


def within(low: float, high: float, limit: float) -> Verdict:
    """Where an interval lies beside a limit."""
    if high <= limit:
        return Verdict.PASS
    return Verdict.FAIL if low > limit else Verdict.INCONCLUSIVE


def _accuracy(flips: Flips | None, limit: float) -> tuple[Verdict, str]:
    if flips is None:
        return Verdict.INCONCLUSIVE, "not measured: score both runs on the same images (--data)"
    low, high = flips.interval
    seen = (
        f"drop {flips.drop:.2f} points [{low:.2f}, {high:.2f}] on {flips.images} images, at most {limit:g} allowed "
        f"(lost {flips.lost}, won {flips.won}; McNemar p = {flips.chance:.2g})"
    )
    verdict = within(low, high, limit)
    if verdict is not Verdict.INCONCLUSIVE:
        return verdict, seen
    more = flips.more_images(limit)
    need = f"about {more} more images would decide" if more else "no number of images would decide: it is at the limit"
    return verdict, f"{seen}; {need}"


def _time(pair: Pair, limit: float) -> tuple[Verdict, str]:
    if pair.time is None:
        return Verdict.INCONCLUSIVE, pair.why
    time = pair.time
    seen = f"{time.value:.3f} times the baseline's [{time.low:.3f}, {time.high:.3f}], at most {1 + limit:g} allowed"
    return within(time.low, time.high, 1 + limit), seen


def _amount(values: Sequence[float | None], limit: float) -> tuple[Verdict, str]:
    """What is measured as one number: no interval."""
    before, after = values
    if before is None or after is None:
        return Verdict.INCONCLUSIVE, "not measured"
    times = after / before
    return within(times, times, 1 + limit), f"{times:.3f} times the baseline's, at most {1 + limit:g} allowed"
