"""Runs held against each other through their folders and the command line."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from vitc import cli, comparing
from vitc.bench import Bench
from vitc.errors import UserError
from vitc.reports.gate import Limits, Verdict

pytestmark = pytest.mark.xdist_group("demo_run")

LOOSE = Limits(drop=10, slowdown=100)


@pytest.fixture
def changed(demo_run: Path, tmp_path: Path) -> Callable[..., Path]:
    """`(change)`: a copy of the run whose record was changed."""

    def copy(change: Callable[[dict], object] = lambda _: None) -> Path:  # type: ignore[type-arg]
        folder = tmp_path / "run"
        shutil.copytree(demo_run, folder)
        record = json.loads((folder / "record.json").read_text("utf-8"))
        change(record)
        (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")
        return folder

    return copy


def verdicts(baseline: object, candidate: object, limits: Limits = LOOSE) -> dict[str, Verdict]:
    return {one.what: one.verdict for one in comparing.compare(str(baseline), str(candidate), limits)}


def test_a_run_passes_against_itself(demo_run: Path) -> None:
    assert verdicts(demo_run, demo_run) == {"accuracy": Verdict.PASS, "time": Verdict.PASS}


def test_artifacts_of_one_run_are_held_against_each_other(demo_run: Path) -> None:
    found = comparing.compare(f"{demo_run}:fp32/onnx", f"{demo_run}:int8/onnx", Limits(10, 100, size=0, memory=100))
    assert {one.what: one.verdict for one in found} == dict.fromkeys(("accuracy", "time", "size", "memory"), "pass")
    (time,) = [one for one in found if one.what == "time"]
    record = json.loads((demo_run / "record.json").read_text("utf-8"))
    (ratio,) = [one["speedup"]["ratio"] for one in record["measurements"] if one["artifact"] == "int8/onnx"]
    assert time.reason.startswith(f"{1 / ratio:.3f} times")


def test_times_of_two_runs_are_not_mixed(demo_run: Path, changed: Callable[..., Path]) -> None:
    (time,) = [one for one in comparing.compare(str(demo_run), str(changed()), LOOSE) if one.what == "time"]
    assert time.verdict is Verdict.INCONCLUSIVE
    assert "--remeasure" in time.reason


def test_both_are_timed_again_where_asked_for(demo_run: Path) -> None:
    sides = f"{demo_run}:fp32/onnx", f"{demo_run}:int8/onnx"
    found = comparing.compare(*sides, LOOSE, Bench(1, max_time=1))
    (time,) = [one for one in found if one.what == "time"]
    assert time.verdict is Verdict.PASS
    assert "times the baseline's [" in time.reason


def test_other_images_preprocessing_and_constant_answers_stop_it(demo_run: Path, changed: Callable[..., Path]) -> None:
    def change(record: dict) -> None:  # type: ignore[type-arg]
        record["data"]["sha256"] = "other"
        record["recipe"]["preprocessing"] = {"crop_pct": 1.0}

    folder = changed(change)
    with np.load(folder / "predictions.npz") as kept:
        answers = dict(kept)
    answers["int8/onnx onnxruntime"][:] = answers["int8/onnx onnxruntime"][0]
    np.savez(folder / "predictions.npz", **answers)
    found = verdicts(demo_run, folder)
    assert {what for what, verdict in found.items() if verdict is Verdict.FAIL} == {
        f"plausibility: {name}" for name in ("other images", "other preprocessing", "same output")
    }
    assert found["accuracy"] is Verdict.INCONCLUSIVE


def test_what_is_faster_than_the_machine_stops_it(demo_run: Path, changed: Callable[..., Path]) -> None:
    def change(record: dict) -> None:  # type: ignore[type-arg]
        assert {"fp32", "int8"} <= {peak["precision"] for peak in record["machine"]["peaks"]}
        for one in record["measurements"]:
            one["latency_ms"]["p50"] /= 1e4

    found = verdicts(demo_run, changed(change))
    assert found["plausibility: faster than the peak"] is Verdict.FAIL


def test_a_record_without_a_peak_says_that_it_could_not_be_checked(
    demo_run: Path, changed: Callable[..., Path]
) -> None:
    folder = changed(lambda record: record["machine"].pop("peaks"))
    assert verdicts(folder, folder) == {
        "plausibility: faster than the peak": Verdict.UNCHECKED,
        "accuracy": Verdict.PASS,
        "time": Verdict.PASS,
    }


def test_two_of_one_run_without_a_ratio_are_timed_anew_or_not_at_all(
    demo_run: Path, changed: Callable[..., Path]
) -> None:
    folder = changed(lambda record: [one.update(speedup=None) for one in record["measurements"]])
    (time,) = [
        one for one in comparing.compare(f"{folder}:fp32/onnx", f"{folder}:int8/onnx", LOOSE) if one.what == "time"
    ]
    assert time.verdict is Verdict.INCONCLUSIVE
    assert "in one run, which kept no ratio of these two" in time.reason


def test_times_of_cores_that_shared_decide_nothing(demo_run: Path, changed: Callable[..., Path]) -> None:
    why = "the 2 cores did not work side by side"

    def crowd(record: dict) -> None:  # type: ignore[type-arg]
        for one in record["measurements"]:
            one["crowded_lives"] = 7
            if one["speedup"]:
                one["speedup"]["inconclusive"] = why

    folder = changed(crowd)
    found = comparing.compare(f"{folder}:fp32/onnx", f"{folder}:int8/onnx", LOOSE)
    assert [(one.verdict, one.reason) for one in found if one.what == "time"] == [(Verdict.INCONCLUSIVE, why)]


def test_what_cannot_be_compared_is_one_line(demo_run: Path, changed: Callable[..., Path], tmp_path: Path) -> None:
    folder = changed()
    (folder / "predictions.npz").write_bytes(b"no zip")
    half = tmp_path / "half"
    half.mkdir()
    (half / "record.json").write_text('{"schema": 1,', encoding="utf-8")
    for candidate, said in (
        (tmp_path / "absent", "cannot read"),
        (folder, "cannot be read"),
        (half, "not a whole JSON text"),
        (f"{demo_run}:int4/onnx", "allowed: fp32/onnx, int8/onnx"),
    ):
        with pytest.raises(UserError, match=said):
            comparing.compare(str(demo_run), str(candidate), LOOSE)


def test_runs_that_share_nothing_say_what_each_has(demo_run: Path, changed: Callable[..., Path]) -> None:
    folder = changed(lambda record: record.update(measurements=[]))
    with pytest.raises(UserError, match=r"nothing to compare: .* has fp32/onnx, int8/onnx, .* has nothing measured"):
        comparing.compare(str(demo_run), str(folder), LOOSE)


@pytest.mark.parametrize(
    ("words", "code"),
    [(("--max-drop", "10"), 0), (("--max-drop", "-10"), 1), (("--max-slowdown", "much"), 2)],
)
def test_the_command_answers_with_its_exit_code(
    demo_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int
) -> None:
    junit = tmp_path / "junit.xml"
    arguments = ["compare", str(demo_run), str(demo_run), "--junit", str(junit), *words]
    monkeypatch.setattr(sys, "argv", ["vitc", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == code
    assert junit.exists() == (code != 2)
    if junit.exists():
        assert ET.parse(junit).getroot().get("failures") == str(code)  # noqa: S314  (made above)
