"""Artifacts are run with what was asked for, held against their baseline, and put into the record's rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from vitc import bench
from vitc.bench import Bench, Subject, asked, measurement
from vitc.errors import UserError, VerificationFailed
from vitc.progress import Progress
from vitc.reports.record import Energy
from vitc.runtimes import RUNTIMES, Runtime, energy, machine
from vitc.runtimes.energy.measure import EnergyReading
from vitc.runtimes.servers import Told
from vitc.runtimes.serving import Load, Opened
from vitc.runtimes.together import Probe

SCORE = {"top1": 80.0, "top5": 95.0, "images": 10}
MS = 1_000_000


class Pretending:
    """A server of known times, by the name of the file; it notes how it was made."""

    made: ClassVar[list[tuple[Load, list[tuple[int, ...]]]]] = []
    pace: ClassVar = {"fp32": 8 * MS, "int8": 4 * MS}

    def __init__(self, load: Load, shares: list[tuple[int, ...]], told: Told, streams: int = 1) -> None:
        self.made.append((load, shares))
        self.load, self.told, self.streams = load, told, streams
        self.kind = Path(load.path).parts[-2]

    def __enter__(self) -> "Pretending":
        if self.kind == "broken":
            raise VerificationFailed("ended by SIGSEGV")
        fixed = 1 if self.kind == "fixed" else self.load.batch
        self.told(Opened(fixed, 3.0, 4.0, 20.0, 50.0))
        return self

    def __exit__(self, *exception: object) -> None:
        return

    def warm_up(self, _: float) -> float:
        return float(self.pace.get(self.kind, MS))

    def turn(self, runs: int) -> list[tuple[int, int]]:
        return [(self.pace.get(self.kind, MS) // self.streams, 0)] * runs


@pytest.fixture(autouse=True)
def pretending(monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines of which nothing runs, on cores that work side by side."""
    monkeypatch.setattr(Probe, "__call__", lambda _: 1.0)
    monkeypatch.setattr(Pretending, "made", [])
    monkeypatch.setattr(bench, "Served", Pretending)
    monkeypatch.setattr(bench, "Streams", Pretending)
    monkeypatch.setattr(energy, "SOURCES", {})
    for name, timed in (("one", True), ("two", True), ("reference", False)):
        runtime = Runtime(name, lambda *_: None, None, lambda _: {}, lambda: None, timed=timed)  # type: ignore[arg-type]
        monkeypatch.setitem(RUNTIMES, name, runtime)


def subject(artifact: str, runtime: str = "one") -> Subject:
    return Subject(artifact, Path(artifact), runtime, f"fp32/{artifact.partition('/')[2]}")


def measured(how: Bench, *artifacts: str) -> list[dict[str, Any]]:
    return how.measure([subject(one) for one in artifacts], Progress())


def test_every_subject_is_served_as_it_was_asked_for() -> None:
    measured(Bench(threads=1, batch=4, seed=5, shapes={"x": (1, 2)}), "fp32/onnx")
    load, shares = Pretending.made[0]
    assert load == Load("one", str(Path("fp32/onnx").absolute()), 1, 4, 5, {"x": (1, 2)})
    assert all(len(cores) in {0, 1} for cores in shares)


def test_rows_stand_in_the_order_of_the_subjects_and_say_how_they_were_measured() -> None:
    rows = measured(Bench(1, 3), "int8/onnx", "fp32/onnx")
    assert [(row["artifact"], row["runtime"], row["threads"], row["batch"]) for row in rows] == [
        ("int8/onnx", "one", 1, 3),
        ("fp32/onnx", "one", 1, 3),
    ]
    assert rows[0]["cores"] == list(Pretending.made[0][1][0])


def test_the_baseline_is_the_float_artifact_on_the_same_engine() -> None:
    subjects = [subject("fp32/onnx"), subject("int8/onnx"), subject("int8/onnx", "two"), subject("int8/other")]
    speedups = [row["speedup"] for row in Bench(1).measure(subjects, Progress())]
    assert [found and found["vs"] for found in speedups] == [None, "fp32/onnx", None, None]
    assert speedups[1]["ratio"] == pytest.approx(2.0)
    low, high = speedups[1]["ci95"]
    assert 0 < low <= 2.0 + 1e-9
    assert high >= 2.0 - 1e-9
    assert speedups[1]["inconclusive"] == ""


def test_what_a_stand_in_takes_is_not_measured() -> None:
    (row,) = Bench(1).measure([subject("int8/onnx", "reference")], Progress())
    assert not Pretending.made
    assert (row["latency_ms"], row["peak_rss_mb"], row["note"]) == (None, None, "")


def test_one_that_breaks_fails_only_its_own_row(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(Progress, "note", lambda _, text: told.append(text))
    float_one, broken, int8_one = (
        measurement(row, SCORE) for row in measured(Bench(1), "fp32/a", "broken/a", "int8/a")
    )
    assert broken.note == "ended by SIGSEGV"
    assert (broken.latency_ms, broken.speedup, broken.peak_rss_mb, broken.load_ms) == (None,) * 4
    assert broken.top1 == 80.0, "what was scored before stays"
    assert "broken/a one is not measured: ended by SIGSEGV" in told
    assert float_one.latency_ms
    assert int8_one.speedup


def test_what_cannot_be_told_apart_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = iter(range(10**6))
    monkeypatch.setattr(Pretending, "turn", lambda _, runs: [((1 + next(turns) % 7) * MS, 0)] * runs)
    _, row = measured(Bench(1, max_time=0.01), "fp32/onnx", "int8/onnx")
    assert row["speedup"]["inconclusive"] == "too noisy here to tell 5% apart in 0.01 s"


def test_cores_that_share_are_told_of_and_no_ratio_is_concluded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Probe, "__call__", lambda _: 0.5)
    base, row = (measurement(one, SCORE) for one in measured(Bench(2, max_time=0.01), "fp32/onnx", "int8/onnx"))
    assert base.latency_ms
    assert (base.crowded_lives, base.left_out_lives) == (base.latency_ms.lives, 0)
    assert row.speedup
    lives = base.latency_ms.lives
    assert f"did not work side by side in {lives} of {lives} lives" in row.speedup.inconclusive
    assert "--threads 1" in row.speedup.inconclusive


def test_lives_that_were_left_out_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = iter([0.5, *[1.0] * 100])
    monkeypatch.setattr(Probe, "__call__", lambda _: next(shares))
    _, row = (measurement(one, SCORE) for one in measured(Bench(2), "fp32/onnx", "int8/onnx"))
    assert (row.crowded_lives, row.left_out_lives) == (0, 1)
    assert row.speedup
    assert row.speedup.inconclusive == ""


def test_a_batch_that_is_fixed_is_the_one_recorded_and_compared() -> None:
    rows = measured(Bench(1, batch=4), "fp32/onnx", "fixed/onnx")
    assert [row["batch"] for row in rows] == [4, 1]
    assert rows[1]["speedup"] is None


def test_streams_are_told_in_images_a_second() -> None:
    base, row = (measurement(row, SCORE) for row in measured(Bench(2, throughput=True), "fp32/onnx", "int8/onnx"))
    assert base.throughput
    assert (round(base.throughput.images_per_s), base.throughput.streams, base.threads) == (250, 2, 1)
    assert base.throughput.ci95 == pytest.approx((250.0, 250.0))
    assert row.speedup
    assert row.speedup.ratio == pytest.approx(2.0)
    assert row.latency_ms is None


def test_a_row_of_the_record_holds_what_was_measured_and_how_accurate_it_is() -> None:
    base, compressed = (measurement(row, SCORE) for row in measured(Bench(1), "fp32/onnx", "int8/onnx"))
    assert base.speedup is None
    assert compressed.latency_ms
    times = compressed.latency_ms
    assert (times.p50, times.p90, times.p99) == pytest.approx((4.0, 4.0, 4.0))
    assert times.p50_ci95 == pytest.approx((4.0, 4.0))
    assert (compressed.top1, compressed.top5, compressed.images) == (80.0, 95.0, 10)
    assert (compressed.peak_rss_mb, compressed.over_idle_mb) == (50.0, 30.0)
    assert (compressed.load_ms, compressed.first_ms) == (3.0, 4.0)


def test_energy_is_counted_by_the_meter_that_was_named_while_the_engine_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []

    def counted(run: Callable[[int], float], meter: str) -> EnergyReading:
        run(3)
        return EnergyReading(5.0, meter, 9.0, 2.0, 0.5, 3)

    monkeypatch.setattr(Pretending, "repeat", lambda _, count: ran.append(count), raising=False)
    monkeypatch.setattr(energy, "choose", lambda word, device: f"{word} of the {device}")
    monkeypatch.setattr(bench, "measure", counted)
    (row,) = measured(Bench(1, meter="rapl"), "fp32/onnx")
    assert measurement(row, SCORE).energy_mj == Energy(5.0, "rapl of the cpu", 9.0, 2.0, 0.5, 3)
    assert ran == [3]


def test_why_energy_is_not_measured_is_said_once_and_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(Progress, "note", lambda _, text: told.append(text))
    rows = measured(Bench(1, meter="none"), "fp32/onnx", "int8/onnx", "broken/onnx")
    reasons = [measurement(row, SCORE).energy_mj.reason for row in rows]
    assert reasons == ["not asked for", "not asked for", "it could not be run"]
    assert told.count("energy not measured: not asked for") == 1
    (row,) = measured(Bench(1, throughput=True, meter="rapl"), "fp32/onnx")
    assert "not counted for streams" in measurement(row, SCORE).energy_mj.reason


def test_a_meter_that_cannot_be_run_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(UserError, match="no command that can be run"):
        asked(1, batch=1, meter="no-such-meter")


def test_what_is_not_said_is_left_to_the_bench() -> None:
    assert asked(None, batch=None) == Bench(machine.cores())
    assert asked(1, batch=2, max_time=3) == Bench(1, 2, max_time=3)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Bench(0), "threads is 0"),
        (lambda: Bench(1, -1), "batch is -1"),
        (lambda: Bench(1, max_time=0), "max-time is 0"),
        (lambda: Bench(1, tell=0), "tell is 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(make: Callable[[], Bench], said: str) -> None:
    with pytest.raises(UserError, match=said):
        make()
