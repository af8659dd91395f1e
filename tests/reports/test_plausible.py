"""What is planted is caught by its name, and what is merely good is not."""

from dataclasses import replace

import numpy as np
import pytest

from vitc.reports.gate import Verdict
from vitc.reports.plausible import TOLERANCE, Answers, Setting, implausible, too_fast, unlike
from vitc.reports.record import Latency, Peak, Record

N = 400
GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.integers(0, 10, N)


def answers(share: float) -> Answers:
    """Right on a share of the images."""
    first = np.where(np.arange(N) < share * N, LABELS, (LABELS + 1) % 10)
    return Answers(np.stack([first, (first + 3) % 10], 1), LABELS)


def constant(*, order: bool) -> Answers:
    """One class for all, with or without the rest of the answer varying."""
    second = np.zeros(N, int) if order else GENERATOR.integers(1, 10, N)
    return Answers(np.stack([np.full(N, 4), second], 1), LABELS)


def names(made: Answers, own_float: Answers | None = None) -> list[str]:
    return [finding.what.removeprefix("plausibility: ") for finding in implausible("x", made, own_float)]


@pytest.mark.parametrize(
    ("made", "own_float", "wanted"),
    [
        (answers(0.8), answers(0.8), []),
        (answers(0.81), answers(0.8), []),
        (answers(0.9), answers(0.8), ["better than float"]),
        (answers(0.9), None, []),
        (constant(order=True), None, ["same output"]),
        (constant(order=False), None, ["constant classifier"]),
        (Answers(constant(order=True).top[:5], LABELS[:5]), None, []),
        (Answers(np.full((N, 2), 3), np.full(N, 3)), None, []),
    ],
)
def test_answers(made: Answers, own_float: Answers | None, wanted: list[str]) -> None:
    assert names(made, own_float) == wanted


def test_what_differs_between_two_sides_is_named() -> None:
    one = Setting("a", "", "{}", (3, 224, 224))
    assert list(unlike("x", one, one)) == []
    found = [finding.what for finding in unlike("x", one, Setting("b", "", '{"crop_pct": 1}', (3, 96, 96)))]
    assert found == [f"plausibility: other {what}" for what in ("images", "preprocessing", "input")]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (("p", "{}"), ("p", "{}"), False),
        (("p", "{}"), ("q", "{}"), True),
        (("", "{}"), ("p", "{}"), False),  # a record from before
        (("", "{}"), ("p", '{"crop_pct": 0.9}'), True),
    ],
)
def test_preprocessing_differs_by_its_hash_or_by_the_recipe(
    before: tuple[str, str],
    after: tuple[str, str],
    told: bool,  # noqa: FBT001  (a parameter of the test)
) -> None:
    sides = (Setting("a", *side, (3, 224, 224)) for side in (before, after))
    assert ([one.what for one in unlike("x", *sides)] == ["plausibility: other preprocessing"]) == told


@pytest.fixture
def timed(record: Record) -> Record:
    """A billion multiply-adds, a tenth of them in floats, on an engine that does ten times as many codes a second."""
    peaks = (Peak("onnxruntime", "int8", 1, 1e11), Peak("onnxruntime", "fp32", 1, 1e10), Peak("openvino", "int8", 1, 1))
    audit = replace(record.artifacts[1].audit, macs_pct={"int8": 90.0, "fp32": 10.0})  # type: ignore[type-var]
    artifact = replace(record.artifacts[1], audit=audit)
    stage = replace(record.stages[0], name="score int8 torch", macs=10**9)
    return replace(
        record,
        machine=replace(record.machine, peaks=peaks),
        artifacts=(record.artifacts[0], artifact),
        stages=(stage,),
    )


LEAST_MS = 9 + 10


def taking(record: Record, milliseconds: float, threads: int = 1, batch: int = 1) -> list[Verdict]:
    one = replace(record.measurements[1], threads=threads, batch=batch)
    one = replace(one, latency_ms=Latency(milliseconds, milliseconds, milliseconds, milliseconds, 100))
    found = list(too_fast("x", record, one))
    assert {finding.what for finding in found} <= {"plausibility: faster than the peak"}
    return [finding.verdict for finding in found]


def test_what_is_faster_than_the_peak_fails(timed: Record) -> None:
    assert taking(timed, LEAST_MS) == []
    assert taking(timed, LEAST_MS / TOLERANCE * 1.01) == []
    assert taking(timed, LEAST_MS / TOLERANCE * 0.99) == [Verdict.FAIL]


def test_the_bound_follows_threads_and_batch(timed: Record) -> None:
    assert taking(timed, LEAST_MS / TOLERANCE / 2 * 1.01, threads=2) == []
    assert taking(timed, LEAST_MS / TOLERANCE / 2 * 0.99, threads=2) == [Verdict.FAIL]
    assert taking(timed, LEAST_MS / TOLERANCE * 8 * 0.99, batch=8) == [Verdict.FAIL]
    two = (*timed.machine.peaks, Peak("onnxruntime", "fp32", 2, 1e11))
    quick = replace(timed, machine=replace(timed.machine, peaks=two))
    assert taking(quick, LEAST_MS / TOLERANCE / 2 * 0.99, threads=2) == []


def test_what_runs_in_an_unknown_precision_is_given_the_highest_peak(timed: Record) -> None:
    unknown = replace(timed, artifacts=tuple(replace(one, audit=None) for one in timed.artifacts))
    assert taking(unknown, 10 / TOLERANCE * 1.01) == []
    assert taking(unknown, 10 / TOLERANCE * 0.99) == [Verdict.FAIL]


def test_what_cannot_be_checked_says_so_and_stops_nothing(timed: Record, record: Record) -> None:
    assert taking(replace(timed, stages=()), 1e-6) == [Verdict.UNCHECKED]
    assert taking(replace(timed, machine=record.machine), 1e-6) == [Verdict.UNCHECKED]
    assert list(too_fast("x", timed, replace(timed.measurements[1], latency_ms=None))) == []
