"""Artifacts measured against each other in one go: latency in interleaved rounds, memory each in its own process.

Energy comes last, one artifact after the other: a sensor counts the machine, whoever keeps it busy.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .progress import Progress
from .reports.record import Energy, Latency, Measurement, Speedup
from .runtimes import RUNTIMES, Session, energy, latency, machine, memory
from .runtimes.batching import shape
from .runtimes.energy.measure import EnergyReading, measure, unmeasured
from .runtimes.energy.meter import NoReading
from .runtimes.serving import serve


@dataclass(frozen=True)
class Subject:
    """An artifact on an engine; `baseline` names the artifact it is held against, on the same engine."""

    artifact: str
    path: Path
    runtime: str
    baseline: str

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return f"{self.artifact} {self.runtime}"


@dataclass(frozen=True)
class Bench:
    """How to measure: threads, images an inference, and the seed of the images and of the resampling."""

    threads: int
    batch: int = 1
    seed: int = 0
    meter: str | None = None
    """What counts energy, as `--meter` says it."""

    def measure(self, subjects: Sequence[Subject], progress: Progress) -> list[dict[str, Any]]:
        """One entry a subject, in plain values: latency, speed-up over its baseline, peak memory, energy."""
        timed = [subject for subject in subjects if RUNTIMES[subject.runtime].timed]
        samples = self._latency(timed, progress) if timed else {}
        peaks = self._memory(timed, progress) if timed else {}
        energies = self._energy(timed, progress) if timed else {}
        return [
            {
                "artifact": subject.artifact,
                "runtime": subject.runtime,
                "threads": self.threads,
                "batch": self.batch,
                "latency_ms": asdict(latency.summary(samples[subject.name])) if subject in timed else None,
                "speedup": self._speedup(subject, samples),
                "peak_rss_mb": peaks.get(subject.name),
                "energy_mj": asdict(energies.get(subject.name, unmeasured("only answers here, and is not timed"))),
            }
            for subject in subjects
        ]

    def _latency(self, subjects: Sequence[Subject], progress: Progress) -> dict[str, latency.Samples]:
        plan = latency.Plan(seed=self.seed)
        with ExitStack() as stack, progress.step("latency", plan.rounds) as advance:
            calls = {}
            for subject in subjects:
                session = stack.enter_context(RUNTIMES[subject.runtime].open(subject.path, self.threads))
                calls[subject.name] = partial(session.run, noise(session, self.batch, self.seed))
            return latency.measure(calls, plan, progress=advance)

    def _memory(self, subjects: Sequence[Subject], progress: Progress) -> dict[str, float | None]:
        peaks = {}
        with progress.step("memory", len(subjects)) as advance:
            for subject in subjects:
                peak = memory.measure(serve, [subject.runtime, str(subject.path), self.threads, self.batch])
                peaks[subject.name] = peak.mb
                if peak.mb is None:
                    progress.note(f"memory of {subject.artifact} on {subject.runtime} not measured: {peak.why}")
                advance(1)
        return peaks

    def _energy(self, subjects: Sequence[Subject], progress: Progress) -> dict[str, EnergyReading]:
        found = {}
        with progress.step("energy", len(subjects)) as advance:
            for subject in subjects:
                found[subject.name] = self._counted(subject)
                advance(1)
        for reason in {reading.reason: None for reading in found.values() if reading.reason}:
            progress.note(f"energy not measured: {reason}")
        return found

    def _counted(self, subject: Subject) -> EnergyReading:
        runtime = RUNTIMES[subject.runtime]
        try:
            meter = energy.choose(self.meter, runtime.device)
        except NoReading as why:
            return unmeasured(str(why))
        with runtime.open(subject.path, self.threads) as session:
            images = noise(session, self.batch, self.seed)

            def run(count: int) -> float:
                start = time.perf_counter()
                for _ in range(count):
                    session.run(images)
                return time.perf_counter() - start

            return measure(run, meter)

    def _speedup(self, subject: Subject, samples: Mapping[str, latency.Samples]) -> dict[str, Any] | None:
        baseline = f"{subject.baseline} {subject.runtime}"
        if baseline == subject.name or not {baseline, subject.name} <= samples.keys():
            return None
        ratio, interval = latency.speedup(samples[baseline], samples[subject.name], self.seed)
        return {"vs": subject.baseline, "ratio": ratio, "ci95": interval}


def asked(threads: int | None, batch: int | None, meter: str | None = None) -> Bench:
    """How to measure where somebody may have said: with all cores and one image, where nobody did."""
    energy.check(meter)
    return Bench(threads or machine.cores(), batch or 1, meter=meter)


def noise(session: Session, batch: int, seed: int) -> NDArray[np.float32]:
    """Noise of the input's shape; how fast a dense network runs does not depend on what it sees."""
    return np.random.default_rng(seed).standard_normal(shape(session, batch), dtype=np.float32)


def measurement(row: Mapping[str, Any], score: Mapping[str, Any]) -> Measurement:
    """The record's row of what was measured of a subject, and how accurate it is."""
    speedup = row["speedup"]
    return Measurement(
        artifact=row["artifact"],
        runtime=row["runtime"],
        threads=row["threads"],
        batch=row["batch"],
        latency_ms=row["latency_ms"] and Latency(**row["latency_ms"]),
        speedup=speedup and Speedup(speedup["vs"], speedup["ratio"], tuple(speedup["ci95"])),
        peak_rss_mb=row["peak_rss_mb"],
        energy_mj=Energy(**row["energy_mj"]),
        top1=score["top1"],
        top5=score["top5"],
        images=score["images"],
    )
