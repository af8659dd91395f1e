"""What cannot be true of a measurement: a gate that believed it would let anything pass."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .gate import Finding, Verdict
from .record import Artifact, Measurement, Record
from .related import macs

FASTER = "plausibility: faster than the peak"
ERRORS = 3.0
"""Standard errors by which a compressed model may be better than its own float one."""
ALMOST_ALL = 0.99
"""The share of images that may get one and the same class before the classifier counts as constant."""
FEWEST = 20
"""Images from which on a constant answer says something."""
TOLERANCE = 1.5
"""How many times the measured peak is still believed: clocks rise, and some convolutions need fewer products."""


@dataclass(frozen=True)
class Answers:
    """What a side answered: the likeliest classes of each image, [images, 5] or fewer, and what is right."""

    top: NDArray[np.int64]
    labels: NDArray[np.int64]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which images got their label."""
        return np.asarray(self.top[:, 0] == self.labels)


@dataclass(frozen=True)
class Setting:
    """What two sides must have in common to be compared at all."""

    images: str | None
    """Hash of the scored images; None where nothing was scored."""
    preprocessing: str
    """Hash of how images are prepared; empty in records that do not say."""
    changed: str
    """What the recipe changes of it."""
    input: tuple[int, ...]


def implausible(pair: str, answers: Answers, own_float: Answers | None) -> Iterator[Finding]:
    """What is wrong with a candidate's answers; `own_float` is what the model answered before it was compressed."""
    several = len(answers.top) >= FEWEST and np.unique(answers.labels).size > 1
    if several and (answers.top == answers.top[0]).all():
        yield _finding(pair, "same output", "every image gets the same classes in the same order")
    elif several and (share := _commonest(answers.top[:, 0])) >= ALMOST_ALL:
        yield _finding(pair, "constant classifier", f"{100 * share:.1f} % of the images get one and the same class")
    if own_float is not None and (above := _above(answers, own_float)) > ERRORS:
        yield _finding(pair, "better than float", f"{above:.1f} standard errors more accurate than its own float model")


def unlike(pair: str, before: Setting, after: Setting) -> Iterator[Finding]:
    """What keeps two sides from being compared."""
    if before.images != after.images:
        yield _finding(pair, "other images", "the two were scored on different images; score both on the same --data")
    hashes = {before.preprocessing, after.preprocessing} - {""}
    if len(hashes) > 1 or before.changed != after.changed:
        yield _finding(pair, "other preprocessing", "the two prepare images differently; make both with one recipe")
    if before.input != after.input:
        yield _finding(pair, "other input", f"the baseline takes {before.input}, the candidate {after.input}")


def too_fast(pair: str, record: Record, one: Measurement) -> Iterator[Finding]:
    """What is quicker than its multiply-adds can be done on the machine that it was timed on."""
    if one.latency_ms is None:
        return
    artifact = next(artifact for artifact in record.artifacts if artifact.name == one.artifact)
    count, peaks = macs(record, artifact), _peaks(record, one)
    if count is None or not peaks:
        lacks = "no count of its multiply-adds" if count is None else f"no measured peak of {one.runtime}"
        yield Finding(pair, FASTER, Verdict.UNCHECKED, f"the record has {lacks}; make the run again with this version")
        return
    work = one.batch * count
    least = 1e3 * work * _seconds_a_mac(artifact, peaks)
    if one.latency_ms.p50 * TOLERANCE < least:
        seen = f"{one.latency_ms.p50:.3g} ms for {work / 1e9:.3g} billion multiply-adds"
        bound = f"which take {least:.3g} ms at the measured peak; {TOLERANCE:g} times as fast would be believed"
        yield Finding(pair, FASTER, Verdict.FAIL, f"{seen}, {bound}")


def _peaks(record: Record, one: Measurement) -> dict[str, float]:
    """Multiply-adds a second by precision with the threads of a measurement.

    The peak of one thread, times the threads, counts too: products that are quick to do do not keep many threads busy.
    """
    found: dict[str, float] = {}
    for peak in record.machine.peaks:
        if peak.runtime == one.runtime and peak.threads <= one.threads:
            speed = peak.macs_per_second * one.threads / peak.threads
            found[peak.precision] = max(found.get(peak.precision, 0.0), speed)
    return found


def _seconds_a_mac(artifact: Artifact, peaks: dict[str, float]) -> float:
    """On average over the precisions that it runs in; where one is not known, at the highest of all peaks."""
    shares = (artifact.audit and artifact.audit.macs_pct) or {"unknown": 100.0}
    return sum(share / 100 / peaks.get(precision, max(peaks.values())) for precision, share in shares.items())


def _commonest(classes: NDArray[np.int64]) -> float:
    return float(np.unique(classes, return_counts=True)[1].max() / len(classes))


def _above(answers: Answers, own_float: Answers) -> float:
    """By how many standard errors of the paired difference the answers are righter."""
    won = int((answers.right & ~own_float.right).sum())
    lost = int((own_float.right & ~answers.right).sum())
    return (won - lost) / math.sqrt(won + lost) if won + lost else 0.0


def _finding(pair: str, what: str, reason: str) -> Finding:
    return Finding(pair, f"plausibility: {what}", Verdict.FAIL, reason)
