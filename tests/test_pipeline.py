"""What a run folder holds is what the record says, what the plan promised, and what a later run can repeat."""

from pathlib import Path

import numpy as np
import pytest

from vitc.journal import FOLDER, file_sha256
from vitc.pipeline import plan
from vitc.recipe import Recipe
from vitc.recipe_file import resolve
from vitc.reports import table
from vitc.reports.record import Record, from_json

pytestmark = pytest.mark.xdist_group("demo_run")

RECIPE = Recipe(data="demo:48", calib_images=8, threads=1, max_time=1, meter="none")
"""That of `demo_run`."""


@pytest.fixture
def record(demo_run: Path) -> Record:
    """Reading is strict: every documented key, of its type, and no other."""
    return from_json((demo_run / "record.json").read_text("utf-8"), "record.json")


def test_the_record_says_what_was_run_on_what(record: Record) -> None:
    assert record.command.startswith("vitc compress demo --data demo:48")
    assert record.recipe == RECIPE.to_json()
    assert record.model.name == "demo"
    assert record.data
    assert record.calibration
    assert (record.data.images, record.calibration.images) == (48, 8)
    assert record.data.sha256 != record.calibration.sha256
    assert {"torch", "onnxruntime"} <= set(record.machine.packages)


def test_every_artifact_lies_where_the_record_says(demo_run: Path, record: Record) -> None:
    assert [artifact.name for artifact in record.artifacts] == ["fp32/onnx", "int8/onnx"]
    for artifact in record.artifacts:
        file = demo_run / artifact.path
        assert (artifact.bytes, artifact.sha256) == (file.stat().st_size, file_sha256(file))
    assert record.artifacts[1].bytes < record.artifacts[0].bytes / 3


def test_every_artifact_was_verified_and_runs_as_promised(record: Record) -> None:
    for artifact in record.artifacts:
        assert artifact.parity
        assert artifact.parity.images == 48
        assert artifact.parity.top1_agree >= 0.95
        assert artifact.audit
        assert artifact.audit.promised_pct == 100
        assert not artifact.audit.fallbacks
        assert (artifact.audit.int8_macs_pct > 50) == (artifact.precision == "int8")


def test_every_artifact_was_measured_and_the_float_one_is_the_baseline(record: Record) -> None:
    base, compressed = record.measurements
    assert (base.artifact, compressed.artifact) == ("fp32/onnx", "int8/onnx")
    assert base.speedup is None
    assert compressed.speedup
    assert compressed.speedup.vs == "fp32/onnx"
    assert base.latency_ms
    assert compressed.latency_ms
    assert base.threads == compressed.threads
    assert {(one.energy_mj.source, one.energy_mj.reason) for one in record.measurements} == {
        ("not measured", "not asked for")
    }


def test_every_artifact_is_modelled_and_the_compressed_one_takes_less(record: Record) -> None:
    base, compressed = (artifact.modelled for artifact in record.artifacts)
    assert base
    assert compressed
    assert compressed.arithmetic_mj < base.arithmetic_mj / 2
    assert compressed.memory_mj < base.memory_mj / 2
    assert compressed.ops == pytest.approx(base.ops, rel=0.01)  # eight bits by eight are one float operation


def test_the_answers_are_kept_and_give_the_recorded_accuracy(demo_run: Path, record: Record) -> None:
    found = np.load(demo_run / "predictions.npz")
    in_torch = {stage.name.removeprefix("score "): stage.top1 for stage in record.stages if stage.name[-5:] == "torch"}
    on_engines = {f"{one.artifact} {one.runtime}": one.top1 for one in record.measurements}
    recorded = in_torch | on_engines
    assert set(found) == {"labels", "images", "classes", *recorded}
    assert set(recorded) == {"fp32 torch", "int8 torch", "fp32/onnx onnxruntime", "int8/onnx onnxruntime"}
    for name, top1 in recorded.items():
        assert 100 * np.mean(found[name][:, 0] == found["labels"]) == pytest.approx(top1, abs=1e-4), name
    assert len(set(found["images"].tolist())) == 48


def test_the_stages_say_what_the_model_costs(record: Record) -> None:
    cost = {stage.name: (stage.params, stage.macs) for stage in record.stages if stage.params}
    assert set(cost) == {"score fp32 torch", "score int8 torch"}
    assert all(params and macs for params, macs in cost.values())
    assert all(stage.seconds >= 0 for stage in record.stages)


def test_the_recipe_in_the_folder_repeats_the_run(demo_run: Path) -> None:
    assert resolve(demo_run / "recipe.toml", {}) == RECIPE


def test_the_report_shows_the_records_numbers(demo_run: Path, record: Record) -> None:
    report = (demo_run / "report.md").read_text("utf-8")
    assert report == table.markdown(record)
    assert f"{record.artifacts[1].bytes / 1e6:.2f}" in report


def test_the_plan_lists_exactly_what_a_run_leaves(demo_run: Path) -> None:
    planned = plan(RECIPE, demo_run)
    assert len(set(planned)) == len(planned)
    left = {file for file in demo_run.rglob("*") if file.is_file() and FOLDER not in file.relative_to(demo_run).parts}
    promised = {file for path in planned for file in ([path] if path.is_file() else path.iterdir())}
    assert left == promised


def test_what_served_on_the_way_is_gone(demo_run: Path) -> None:
    assert not list((demo_run / FOLDER).glob("*pixels*"))
    assert not list(demo_run.rglob("*.partial"))


@pytest.mark.parametrize(
    ("recipe", "names"),
    [
        (Recipe(), "recipe.toml model.pt2 record.json report.md report.html predictions.npz fp32/onnx onnx"),
        (Recipe(ptq="off"), "recipe.toml model.pt2 record.json report.md report.html predictions.npz onnx"),
        (Recipe(data="none", ptq="off"), "recipe.toml model.pt2 record.json report.md report.html onnx"),
    ],
)
def test_a_plan_needs_no_run(recipe: Recipe, names: str) -> None:
    assert [path.relative_to("out").as_posix() for path in plan(recipe, Path("out"))] == names.split()
