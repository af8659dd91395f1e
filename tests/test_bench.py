"""Artifacts are run with what was asked for, held against their baseline, and put into the record's rows."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from numpy.typing import NDArray

from vitc import bench
from vitc.bench import Bench, Subject, asked, measurement
from vitc.errors import UserError
from vitc.progress import Progress
from vitc.reports.record import Energy
from vitc.runtimes import RUNTIMES, Runtime, energy, latency, memory
from vitc.runtimes.energy.measure import EnergyReading

SCORE = {"top1": 80.0, "top5": 95.0, "images": 10}


class Engine:
    """A session that takes images of 1x2x2, and notes how it was opened and what it was given."""

    opened: list[tuple[Path, int | None]]
    given: list[NDArray[np.float32]]
    live = 0

    def __init__(self, path: Path, threads: int | None) -> None:
        self.opened.append((path, threads))
        self.input_shape: tuple[int | None, ...] = (None, 1, 2, 2)
        self.metadata: dict[str, str] = {}

    def __enter__(self) -> Self:
        type(self).live += 1
        return self

    def __exit__(self, *exception: object) -> None:
        type(self).live -= 1

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        self.given.append(images)
        return images


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two engines that take no time, and a memory that is not measured in another process."""
    monkeypatch.setattr(Engine, "opened", [], raising=False)
    monkeypatch.setattr(Engine, "given", [], raising=False)
    for name in ("one", "two"):
        runtime = Runtime(name, Engine, lambda *_: [], lambda _: {}, lambda: None)
        monkeypatch.setitem(RUNTIMES, name, runtime)
    monkeypatch.setattr(latency, "TURN_NS", 10_000)
    monkeypatch.setattr(memory, "measure", lambda *_: memory.Peak(50.0))
    monkeypatch.setattr(energy, "SOURCES", {})
    yield
    assert Engine.live == 0


def subject(artifact: str, runtime: str = "one") -> Subject:
    return Subject(artifact, Path(artifact), runtime, f"fp32/{artifact.partition('/')[2]}")


def test_every_subject_is_opened_with_the_threads_and_run_on_the_batch() -> None:
    Bench(threads=3, batch=4).measure([subject("fp32/onnx"), subject("int8/onnx")], Progress())
    assert Engine.opened == [(Path("fp32/onnx"), 3), (Path("int8/onnx"), 3)]
    assert {images.shape for images in Engine.given} == {(4, 1, 2, 2)}
    assert {images.dtype for images in Engine.given} == {np.dtype(np.float32)}


def test_the_images_are_those_of_the_seed() -> None:
    def images(seed: int) -> NDArray[np.float32]:
        Engine.given.clear()
        Bench(1, seed=seed).measure([subject("fp32/onnx")], Progress())
        return Engine.given[0]

    assert np.array_equal(images(1), images(1))
    assert not np.array_equal(images(1), images(2))


def test_rows_stand_in_the_order_of_the_subjects() -> None:
    rows = Bench(2, 3).measure([subject("int8/onnx"), subject("fp32/onnx")], Progress())
    assert [(row["artifact"], row["runtime"], row["threads"], row["batch"]) for row in rows] == [
        ("int8/onnx", "one", 2, 3),
        ("fp32/onnx", "one", 2, 3),
    ]


def test_the_baseline_is_the_float_artifact_on_the_same_engine() -> None:
    subjects = [subject("fp32/onnx"), subject("int8/onnx"), subject("int8/onnx", "two"), subject("int8/other")]
    speedups = [row["speedup"] for row in Bench(1).measure(subjects, Progress())]
    assert [found and found["vs"] for found in speedups] == [None, "fp32/onnx", None, None]
    low, high = speedups[1]["ci95"]
    assert 0 < low <= high


def test_memory_that_cannot_be_measured_is_said_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(memory, "measure", lambda *_: memory.Peak(None, "out of luck"))
    monkeypatch.setattr(Progress, "note", lambda _, text: told.append(text))
    (row,) = Bench(1).measure([subject("fp32/onnx")], Progress())
    assert row["peak_rss_mb"] is None
    assert "memory of fp32/onnx on one not measured: out of luck" in told


def test_energy_is_counted_by_the_meter_that_was_named_while_the_engine_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(run: Callable[[int], float], meter: str) -> EnergyReading:
        Engine.given.clear()
        assert run(3) >= 0
        assert len(Engine.given) == 3
        return EnergyReading(5.0, meter, 9.0, 2.0, 0.5, 3)

    monkeypatch.setattr(energy, "choose", lambda word, device: f"{word} of the {device}")
    monkeypatch.setattr(bench, "measure", counted)
    rows = Bench(1, meter="rapl").measure([subject("fp32/onnx")], Progress())
    assert measurement(rows[0], SCORE).energy_mj == Energy(5.0, "rapl of the cpu", 9.0, 2.0, 0.5, 3)


def test_why_energy_is_not_measured_is_said_once_and_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(Progress, "note", lambda _, text: told.append(text))
    rows = Bench(1, meter="none").measure([subject("fp32/onnx"), subject("int8/onnx")], Progress())
    assert [measurement(row, SCORE).energy_mj for row in rows] == [Energy(None, reason="not asked for")] * 2
    assert told.count("energy not measured: not asked for") == 1


def test_a_meter_that_cannot_be_run_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(UserError, match="no command that can be run"):
        asked(1, 1, "no-such-meter")


def test_a_row_of_the_record_holds_what_was_measured_and_how_accurate_it_is() -> None:
    rows = Bench(1).measure([subject("fp32/onnx"), subject("int8/onnx")], Progress())
    base, compressed = (measurement(row, SCORE) for row in rows)
    assert base.speedup is None
    assert compressed.speedup
    assert compressed.speedup.vs == base.artifact
    assert compressed.latency_ms
    assert compressed.latency_ms.p50 <= compressed.latency_ms.p90 <= compressed.latency_ms.p99
    assert (compressed.top1, compressed.top5, compressed.images) == (80.0, 95.0, 10)
    assert compressed.peak_rss_mb == 50.0
    assert compressed.energy_mj.value is None
    assert compressed.energy_mj.source == "not measured"
