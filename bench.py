"""Artifacts measured against each other in one go: each in processes of its own, timed in interleaved rounds.

Energy comes last, one artifact after the other: a sensor counts the machine, whoever keeps it busy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from .errors import UserError, VerificationFailed
from .progress import Progress
from .reports.record import Energy, Latency, Measurement, Speedup, Throughput
from .runtimes import RUNTIMES, affinity, energy, feeds, intervals, latency, machine
from .runtimes.energy.measure import EnergyReading, measure, unmeasured
from .runtimes.energy.meter import NoReading
from .runtimes.servers import Served, Streams, Told
from .runtimes.serving import Load, Opened
from .runtimes.together import Probe

MAX_TIME = 60
"""Seconds."""
AGAIN = "measure again when the machine is itself, or with --threads 1"


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

    @property
    def held_against(self) -> str:
        """The name of its baseline."""
        return f"{self.baseline} {self.runtime}"


@dataclass(frozen=True)
class Bench:
    """How to measure: threads, images an inference, the seed of the images, and for how long at most."""

    threads: int
    batch: int = 1
    seed: int = 0
    max_time: float = MAX_TIME
    tell: float = 0.05
    """The difference that shall be told apart."""
    throughput: bool = False
    """Keep all cores busy, each with a thread of its own, and count images."""
    shapes: feeds.Shapes = field(default_factory=dict)
    """Of inputs by name, where a file leaves them free."""
    meter: str | None = None
    """What counts energy, as `--meter` says it."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for word, value in (("threads", self.threads), ("batch", self.batch)):
            if value < 1:
                raise UserError(f"{word} is {value}; it must be at least 1")
        for word, amount in (("max-time", self.max_time), ("tell", self.tell)):
            if amount <= 0:
                raise UserError(f"{word} is {amount:g}; it must be more than 0")

    def measure(self, subjects: Sequence[Subject], progress: Progress) -> list[dict[str, Any]]:
        """One entry a subject, in plain values: latency, speed-up, memory, energy; or why there is none."""
        timed = {subject.name: subject for subject in subjects if RUNTIMES[subject.runtime].timed}
        cores = affinity.choose(self.threads)
        opened: dict[str, list[Opened]] = {name: [] for name in timed}
        openers = {name: partial(self._server, one, cores, opened[name].append) for name, one in timed.items()}
        pairs = [(one.held_against, name) for name, one in timed.items() if one.held_against in timed.keys() - {name}]
        plan = latency.Plan(self.max_time, self.tell, seed=self.seed)
        with progress.step("latency and memory") as advance, Probe(cores if timed else ()) as probe:
            outcome = latency.measure(openers, pairs, plan, latency.Surroundings(probe=probe), advance)
        for name, reason in outcome.failures.items():
            progress.note(f"{name} is not measured: {reason}")
        done = _Done(self, outcome, opened, cores)
        energies = self._energy([one for one in subjects if one.name in outcome.samples], cores, progress)
        return [
            {**done.row(one), "energy_mj": energies[one.name]}
            if one.name in energies
            else self.unmeasured(one, outcome.failures.get(one.name, ""))
            for one in subjects
        ]

    def load(self, subject: Subject) -> Load:
        """How a worker loads and feeds it."""
        path = str(subject.path.absolute())
        return Load(subject.runtime, path, self.threads, self.batch, self.seed, self.shapes)

    def unmeasured(self, subject: Subject, why: str = "") -> dict[str, Any]:
        """The row of a subject of which nothing is measured."""
        who = {"artifact": subject.artifact, "runtime": subject.runtime}
        how = {"threads": 1 if self.throughput else self.threads, "batch": self.batch}
        names = ("latency_ms", "speedup", "throughput", "peak_rss_mb", "over_idle_mb", "load_ms", "first_ms")
        reason = "it could not be run" if why else "only answers here, and is not timed"
        counted = asdict(unmeasured(reason))
        lives = {"crowded_lives": 0, "left_out_lives": 0}
        return {**who, **how, **dict.fromkeys(names), **lives, "cores": [], "note": why, "energy_mj": counted}

    def _server(self, subject: Subject, cores: Sequence[int], told: Told) -> Served:
        load = self.load(subject)
        return Streams(load, cores, told, self.threads) if self.throughput else Served(load, [cores], told)

    def _energy(
        self, subjects: Sequence[Subject], cores: Sequence[int], progress: Progress
    ) -> dict[str, dict[str, Any]]:
        found = {}
        with progress.step("energy", len(subjects)) as advance:
            for subject in subjects:
                found[subject.name] = self._counted(subject, cores)
                advance(1)
        for reason in {reading.reason: None for reading in found.values() if reading.reason}:
            progress.note(f"energy not measured: {reason}")
        return {name: asdict(reading) for name, reading in found.items()}

    def _counted(self, subject: Subject, cores: Sequence[int]) -> EnergyReading:
        """Energy of an inference; what several streams take is not counted."""
        if self.throughput:
            return unmeasured("not counted for streams; leave --throughput out")
        try:
            meter = energy.choose(self.meter, RUNTIMES[subject.runtime].device)
            with Served(self.load(subject), [cores], lambda _: None) as served:
                return measure(served.repeat, meter)
        except (NoReading, VerificationFailed) as why:
            return unmeasured(str(why))


@dataclass(frozen=True)
class _Done:
    """What came of a measurement: times of those that came through, and what loading took each time."""

    bench: Bench
    outcome: latency.Outcome
    opened: Mapping[str, Sequence[Opened]]
    cores: Sequence[int]

    def row(self, subject: Subject) -> dict[str, Any]:
        """All that is known of a subject that came through."""
        times, loads = intervals.summary(self.outcome.samples[subject.name].lives), self.opened[subject.name]
        peaks = [one.peak_mb for one in loads if one.peak_mb is not None]
        added = [one.peak_mb - one.idle_mb for one in loads if one.peak_mb is not None and one.idle_mb is not None]
        streams = self.bench.throughput
        return {
            **self.bench.unmeasured(subject),
            "batch": loads[0].batch,
            "latency_ms": None if streams else asdict(times),
            "throughput": _images_per_s(times, self.bench.threads) if streams else None,
            "speedup": self._speedup(subject),
            "peak_rss_mb": median(peaks) if peaks else None,
            "over_idle_mb": median(added) if added else None,
            "load_ms": median(one.load_ms for one in loads),
            "first_ms": median(one.first_ms for one in loads),
            "cores": list(self.cores),
            "crowded_lives": self.outcome.crowded_lives,
            "left_out_lives": self.outcome.left_out_lives,
        }

    def _speedup(self, subject: Subject) -> dict[str, Any] | None:
        baseline, found, bench = subject.held_against, self.outcome.samples, self.bench
        if baseline == subject.name or baseline not in found:
            return None
        if self.opened[baseline][0].batch != self.opened[subject.name][0].batch:
            return None
        lives = found[subject.name].lives
        ratio = intervals.ratio(found[baseline].lives, lives)
        if crowded := self.outcome.crowded_lives:
            why = f"the {len(self.cores)} cores did not work side by side in {crowded} of {len(lives)} lives; {AGAIN}"
        elif ratio.tells(bench.tell):
            why = ""
        else:
            why = f"too noisy here to tell {bench.tell:.0%} apart in {bench.max_time:g} s"
        return {"vs": subject.baseline, "ratio": ratio.value, "ci95": [ratio.low, ratio.high], "inconclusive": why}


def _images_per_s(image: intervals.Summary, streams: int) -> dict[str, Any]:
    fast, slow = image.p50_ci95
    return {"images_per_s": 1e3 / image.p50, "ci95": [1e3 / slow, 1e3 / fast], "streams": streams}


def asked(threads: int | None, **words: Any) -> Bench:
    """How to measure where somebody may have said: with all cores, where nobody did."""
    energy.check(words.get("meter"))
    said = {word: value for word, value in words.items() if value is not None}
    return Bench(machine.cores() if threads is None else threads, **said)


def measurement(row: Mapping[str, Any], score: Mapping[str, Any]) -> Measurement:
    """The record's row of what was measured of a subject, and how accurate it is."""
    times, speedup, rate = row["latency_ms"], row["speedup"], row["throughput"]
    return Measurement(
        artifact=row["artifact"],
        runtime=row["runtime"],
        threads=row["threads"],
        batch=row["batch"],
        latency_ms=times and Latency(**{**times, "p50_ci95": tuple(times["p50_ci95"])}),
        speedup=speedup and Speedup(**{**speedup, "ci95": tuple(speedup["ci95"])}),
        peak_rss_mb=row["peak_rss_mb"],
        energy_mj=Energy(**row["energy_mj"]),
        top1=score["top1"],
        top5=score["top5"],
        images=score["images"],
        over_idle_mb=row["over_idle_mb"],
        load_ms=row["load_ms"],
        first_ms=row["first_ms"],
        throughput=rate and Throughput(**{**rate, "ci95": tuple(rate["ci95"])}),
        cores=tuple(row["cores"]),
        crowded_lives=row["crowded_lives"],
        left_out_lives=row["left_out_lives"],
        note=row["note"],
    )
