"""What stands beside what in a run: each step beside the one before it, each artifact beside its simulation."""

from collections.abc import Callable
from itertools import pairwise

from .record import Artifact, Measurement, Record
from .related import alike, kind, macs, simulations

DASH = "-"
"""What nobody measured."""
STEP_COLUMNS = ("engine", "from", "to", "top-1 points", "times as fast", "times the size", "times the MACs")
STEPS = (
    "Each row is one step of the recipe on one engine: what it added to, or took from, what was there before it. Times "
    "are ratios of the speed-ups above."
)
DRIFT_COLUMNS = ("artifact", "runtime", "torch top-1 %", "top-1 %", "drift points", "same class %", "cosine")
DRIFT = (
    "The torch program with the same rounding is the simulation; drift is how far the engine's accuracy is from its. "
    "How often both name the same class, and the cosine of their answers, are of the images it was verified on."
)


def steps(record: Record) -> list[tuple[str, ...]]:
    """The cells under STEP_COLUMNS."""
    rows = {artifact.name: artifact for artifact in record.artifacts}
    on = dict[tuple[str, str], list[Measurement]]()
    for one in record.measurements:
        if kind(rows[one.artifact]) != "rival":
            on.setdefault((rows[one.artifact].format, one.runtime), []).append(one)
    return [
        _step(record, (rows[before.artifact], before), (rows[after.artifact], after))
        for path in on.values()
        for before, after in pairwise(path)
    ]


def told(record: Record) -> list[str]:
    """What the steps say that they did, a line each."""
    return [f"{stage.name}: {note}" for stage in record.stages for note in stage.notes]


def drifts(record: Record) -> list[tuple[str, ...]]:
    """The cells under DRIFT_COLUMNS: a row for every scored artifact that was made of a torch program."""
    rows = {artifact.name: artifact for artifact in record.artifacts}
    scored = [(rows[one.artifact], one) for one in record.measurements if one.top1 is not None]
    return [_drift(record, artifact, one) for artifact, one in scored if kind(artifact) != "rival"]


def _step(record: Record, before: tuple[Artifact, Measurement], after: tuple[Artifact, Measurement]) -> tuple[str, ...]:
    (old, was), (new, now) = before, after
    points = _between(was.top1, now.top1, _points)
    faster = _between(_speed(record, was), _speed(record, now), _ratio)
    counted = _between(macs(record, old), macs(record, new), _ratio)
    return (now.runtime, old.name, new.name, points, faster, _ratio(old.bytes, new.bytes), counted)


def _drift(record: Record, artifact: Artifact, one: Measurement) -> tuple[str, ...]:
    tops = [stage.top1 for stage in simulations(record, artifact)]
    torch = tops[0] if len(tops) == 1 else None
    parity = artifact.parity
    return (
        artifact.name,
        one.runtime,
        DASH if torch is None else f"{torch:.2f}",
        DASH if one.top1 is None else f"{one.top1:.2f}",
        _between(torch, one.top1, _points),
        f"{100 * parity.top1_agree:.1f}" if parity else DASH,
        f"{parity.cosine:.6f}" if parity else DASH,
    )


def _speed(record: Record, one: Measurement) -> float | None:
    """Beside the untouched model's; None where it was not timed beside it."""
    if one.speedup:
        return one.speedup.ratio
    others = (other.speedup for other in record.measurements if alike(one, other))
    return 1.0 if any(found and found.vs == one.artifact for found in others) else None


def _between(before: float | None, after: float | None, say: Callable[[float, float], str]) -> str:
    return DASH if before is None or after is None else say(before, after)


def _points(before: float, after: float) -> str:
    return f"{after - before:+.2f}".replace("-0.00", "+0.00")


def _ratio(before: float, after: float) -> str:
    return f"{after / before:.2f}x"
