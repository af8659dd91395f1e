import shutil
from pathlib import Path

import pytest

from vitc.bench import Bench
from vitc.errors import UserError
from vitc.profiling import profile

pytestmark = pytest.mark.xdist_group("demo_run")


def test_files_are_measured_against_the_first(demo_run: Path) -> None:
    files = [demo_run / "fp32/onnx/model.onnx", demo_run / "onnx/model.onnx"]
    record = profile(files, Bench(threads=1))
    assert [artifact.path for artifact in record.artifacts] == [str(file) for file in files]
    assert [artifact.bytes for artifact in record.artifacts] == [file.stat().st_size for file in files]
    float_audit, int8_audit = (artifact.audit for artifact in record.artifacts)
    assert float_audit is not None
    assert int8_audit is not None
    assert float_audit.int8_macs_pct == 0 < int8_audit.int8_macs_pct
    baseline, candidate = record.measurements
    assert baseline.speedup is None
    assert candidate.speedup is not None
    assert candidate.speedup.vs == str(files[0])
    assert record.model.name == "demo"


def test_engines_are_chosen_by_the_files_name(demo_run: Path, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    file = tmp_path / "model.xml"
    openvino.save_model(openvino.convert_model(demo_run / "fp32/onnx/model.onnx"), file, compress_to_fp16=False)
    record = profile([file, demo_run / "fp32/onnx/model.onnx"], Bench(threads=1))
    assert [one.runtime for one in record.measurements] == ["openvino", "onnxruntime"]
    assert all(one.latency_ms for one in record.measurements)
    assert record.artifacts[0].bytes == file.stat().st_size + file.with_suffix(".bin").stat().st_size


def test_what_cannot_be_profiled_is_one_line(tmp_path: Path, demo_run: Path) -> None:
    file = shutil.copy(demo_run / "onnx/model.onnx", tmp_path / "model.onnx")
    (tmp_path / "notes.txt").write_text("no model", encoding="utf-8")
    for files, said in (
        ([tmp_path / "absent.onnx"], "is not a file"),
        ([tmp_path / "notes.txt"], "no engine serves"),
        ([file, file], "named twice"),
    ):
        with pytest.raises(UserError, match=said):
            profile(files)
