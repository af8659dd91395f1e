"""Cases of known truth, and how often the gate is wrong at its limit."""

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import binom, norm

from vitc.errors import UserError
from vitc.reports.gate import Finding, Limits, Pair, Ratio, Verdict, judge, share, stopping, table
from vitc.reports.paired import Flips

PASS, FAIL, OPEN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
NOTHING = (None, None)


def pair(
    flips: Flips | None = None,
    time: Ratio | None = None,
    size: tuple[int, int] = (100, 100),
    memory: tuple[float | None, float | None] = NOTHING,
    energy: tuple[float | None, float | None] = NOTHING,
    why: str = "why not",
) -> Pair:
    return Pair("int8/onnx onnxruntime", flips, time, why, size, memory, energy)


def verdict(what: str, one: Pair, limits: Limits) -> Verdict:
    (found,) = [finding for finding in judge(one, limits) if finding.what == what]
    return found.verdict


@pytest.mark.parametrize(
    ("images", "lost", "won", "limit", "wanted"),
    [
        (10_000, 0, 0, 0.5, PASS),
        (10_000, 50, 50, 0.5, PASS),
        (10_000, 30, 60, 0.5, PASS),
        (10_000, 200, 50, 0.5, FAIL),
        (10_000, 60, 0, 0.5, OPEN),
        (10_000, 55, 5, 0.5, OPEN),
        (10_000, 100, 0, 0.5, FAIL),
        (1_300, 4, 8, 0.5, PASS),
        (1_300, 16, 6, 0.5, OPEN),
        (1_300, 60, 10, 0.5, FAIL),
        (100, 0, 0, 0.5, OPEN),
        (100, 0, 0, 5.0, PASS),
        (100, 30, 0, 5.0, FAIL),
        (50, 1, 0, 5.0, OPEN),
        (1_000_000, 6_000, 0, 0.5, FAIL),
        (1_000_000, 4_000, 0, 0.5, PASS),
        (10_000, 0, 100, 0.0, PASS),
        (10_000, 3, 0, 0.0, OPEN),
        (10_000, 30, 0, 0.0, FAIL),
    ],
)
def test_accuracy(images: int, lost: int, won: int, limit: float, wanted: Verdict) -> None:
    assert verdict("accuracy", pair(Flips(images, lost, won)), Limits(drop=limit)) is wanted


@pytest.mark.parametrize(
    ("ratio", "limit", "wanted"),
    [
        (Ratio(1.00, 0.99, 1.01), 0.05, PASS),
        (Ratio(0.50, 0.49, 0.51), 0.05, PASS),
        (Ratio(1.04, 1.03, 1.05), 0.05, PASS),
        (Ratio(1.05, 1.03, 1.07), 0.05, OPEN),
        (Ratio(1.06, 1.04, 1.08), 0.05, OPEN),
        (Ratio(1.10, 1.06, 1.14), 0.05, FAIL),
        (Ratio(1.00, 0.90, 1.10), 0.05, OPEN),
        (Ratio(1.00, 0.99, 1.01), 0.0, OPEN),
        (None, 0.05, OPEN),
    ],
)
def test_time(ratio: Ratio | None, limit: float, wanted: Verdict) -> None:
    assert verdict("time", pair(time=ratio), Limits(slowdown=limit)) is wanted


@pytest.mark.parametrize(
    ("what", "values", "wanted"),
    [
        ("size", (100, 105), PASS),
        ("size", (100, 106), FAIL),
        ("memory", (100.0, 50.0), PASS),
        ("memory", (100.0, 120.0), FAIL),
        ("memory", (None, 120.0), OPEN),
        ("energy", (2.0, 2.1), PASS),
        ("energy", (2.0, 2.2), FAIL),
        ("energy", (2.0, None), OPEN),
    ],
)
def test_amounts_are_judged_where_a_limit_is_set(what: str, values: tuple[float, float], wanted: Verdict) -> None:
    limits = Limits(size=0.05, memory=0.05, energy=0.05)
    assert verdict(what, pair(**{what: values}), limits) is wanted  # type: ignore[arg-type]
    assert what not in {finding.what for finding in judge(pair(**{what: values}), Limits())}  # type: ignore[arg-type]


@pytest.mark.parametrize(("beyond", "right"), [(0.0, None), (0.03, FAIL), (-0.03, PASS)])
def test_how_often_the_gate_is_wrong(beyond: float, right: Verdict | None) -> None:
    """At the limit either verdict is wrong; well off it the right one is found, and the wrong one never."""
    generator, images, limit, trials = np.random.default_rng(0), 2000, 0.01, 1000
    won, lost = 0.02, 0.02 + limit + beyond
    draws = generator.multinomial(images, [max(lost, 0), won + max(-lost, 0), 1 - abs(lost) - won], trials)
    found = [verdict("accuracy", pair(Flips(images, int(b), int(c))), Limits(drop=100 * limit)) for b, c, _ in draws]
    if right is None:
        for wrong in (PASS, FAIL):
            low, high = binom.interval(0.999, trials, 0.025)
            assert low <= found.count(wrong) <= high
    else:
        assert found.count(right) > 0.95 * trials
        assert not {PASS, FAIL} - {right} & set(found)


@pytest.mark.parametrize(("beyond", "right"), [(0.0, None), (0.06, FAIL), (-0.06, PASS)])
def test_how_often_it_is_wrong_about_time(beyond: float, right: Verdict | None) -> None:
    """With intervals that cover the truth as often as they say."""
    generator, error, limit, trials = np.random.default_rng(1), 0.01, 0.05, 1000
    seen = generator.normal(np.log1p(limit) + beyond, error, trials)
    ends = np.exp(seen[:, None] + error * norm.ppf([0.5, 0.025, 0.975]))
    found = [verdict("time", pair(time=Ratio(*map(float, one))), Limits(slowdown=limit)) for one in ends]
    if right is None:
        for wrong in (PASS, FAIL):
            low, high = binom.interval(0.999, trials, 0.025)
            assert low <= found.count(wrong) <= high
    else:
        assert found.count(right) > 0.95 * trials
        assert not {PASS, FAIL} - {right} & set(found)


def test_what_is_undecided_says_what_would_decide() -> None:
    (first, _) = judge(pair(Flips(1300, 16, 6)), Limits())
    assert "more images would decide" in first.reason
    assert judge(pair(), Limits())[1].reason == "why not"


def test_failures_stop_first_and_the_undecided_where_they_may_not_pass() -> None:
    findings = [Finding("a", "time", verdict, "") for verdict in (OPEN, PASS, FAIL)]
    assert [one.verdict for one in stopping(findings, allow_inconclusive=False)] == [FAIL, OPEN]
    assert [one.verdict for one in stopping(findings, allow_inconclusive=True)] == [FAIL]
    assert stopping(findings[1:2], allow_inconclusive=False) == []
    assert stopping([Finding("a", "time", Verdict.UNCHECKED, "")], allow_inconclusive=False) == []


def test_the_table_shows_names_as_they_are() -> None:
    console = Console(width=200, record=True, file=None)
    with console.capture() as shown:
        console.print(table([Finding("[red]x\n", "time", FAIL, "slow")]))
    assert "[red]x\N{REPLACEMENT CHARACTER}" in shown.get()


@pytest.mark.parametrize(("word", "wanted"), [("5%", 0.05), (" 0% ", 0.0), ("12.5%", 0.125)])
def test_shares(word: str, wanted: float) -> None:
    assert share(word) == pytest.approx(wanted)


@pytest.mark.parametrize("word", ["5", "-1%", "five%", "5%%", "", "nan%", "inf%"])
def test_words_that_are_no_share_are_refused(word: str) -> None:
    with pytest.raises(UserError, match="percentage"):
        share(word)
