"""What the chart shows: a point for every artifact on every engine, with intervals, and the path of each target."""

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binomtest

from .record import Artifact, Energy, Measurement, Record
from .related import alike, kind


@dataclass(frozen=True)
class Point:
    """One artifact on one engine. What is None was not measured, and has no place on that axis."""

    run: str
    artifact: str
    runtime: str
    kind: str
    """`float`, `step`, `final` or `rival`."""
    path: str
    """Points of one path are joined in their order: what became of the float model on a target, step by step."""
    top1: float | None
    top1_ci: tuple[float, float] | None
    latency: float | None
    latency_ci: tuple[float, float] | None
    """Relative to the baseline's median: what the interval of the ratio makes of it."""
    size: float
    memory: float | None
    energy: float | None
    energy_ci: tuple[float, float] | None = None
    """By the uncertainty that the sensor's readings leave."""


def points(run: str, record: Record) -> list[Point]:
    """The points of a run, in the record's order."""
    rows = {artifact.name: artifact for artifact in record.artifacts}
    return [_point(run, record, rows[one.artifact], one) for one in record.measurements]


def _point(run: str, record: Record, artifact: Artifact, one: Measurement) -> Point:
    made = kind(artifact)
    alone = artifact.name if made == "rival" else artifact.format
    return Point(
        run=run,
        artifact=artifact.name,
        runtime=one.runtime,
        kind=made,
        path=f"{run} {alone} {one.runtime}",
        top1=one.top1,
        top1_ci=_interval(one),
        latency=one.latency_ms.p50 if one.latency_ms else None,
        latency_ci=_times(record.measurements, one),
        size=artifact.bytes / 1e6,
        memory=one.peak_rss_mb,
        energy=one.energy_mj.value,
        energy_ci=_counted(one.energy_mj),
    )


def _interval(one: Measurement) -> tuple[float, float] | None:
    """Of the accuracy, by the number of images (Wilson's, 95 %)."""
    if one.top1 is None or not one.images:
        return None
    found = binomtest(round(one.top1 / 100 * one.images), one.images).proportion_ci(0.95, "wilson")
    return 100 * float(found.low), 100 * float(found.high)


def _counted(energy: Energy) -> tuple[float, float] | None:
    if energy.value is None or energy.uncertainty is None:
        return None
    return energy.value - energy.uncertainty, energy.value + energy.uncertainty


def _times(measurements: Sequence[Measurement], one: Measurement) -> tuple[float, float] | None:
    if one.speedup is None:
        return None
    for base in measurements:
        if base.artifact == one.speedup.vs and alike(one, base) and base.latency_ms:
            low, high = one.speedup.ci95
            return base.latency_ms.p50 / high, base.latency_ms.p50 / low
    return None
