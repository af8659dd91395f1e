import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from vitc import profiling
from vitc.bench import Bench
from vitc.errors import UserError, VerificationFailed
from vitc.profiling import profile

pytestmark = pytest.mark.xdist_group("demo_run")
QUICK = Bench(threads=1, max_time=0.1)


def foreign(path: Path, *, batch: int | str = "n", length: int | str = 6) -> Path:
    """A file of somebody else's: tokens and a mask, embedded and multiplied."""
    table = numpy_helper.from_array(np.ones((4, 8), np.float32), "table")
    weight = numpy_helper.from_array(np.ones((8, 3), np.float32), "weight")
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["embedded"]),
        helper.make_node("MatMul", ["embedded", "weight"], ["scores"]),
        helper.make_node("Mul", ["scores", "mask"], ["out"]),
    ]
    tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, (batch, length))
    mask = helper.make_tensor_value_info("mask", TensorProto.FLOAT, (1,))
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    model = helper.make_model(helper.make_graph(nodes, "g", [tokens, mask], [out], [table, weight]), ir_version=8)
    model.opset_import[0].version = 17
    onnx.save(model, path)
    return path


def test_files_are_measured_against_the_first(demo_run: Path) -> None:
    files = [demo_run / "fp32/onnx/model.onnx", demo_run / "onnx/model.onnx"]
    record = profile(files, QUICK)
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
    record = profile([file, demo_run / "fp32/onnx/model.onnx"], QUICK)
    assert [one.runtime for one in record.measurements] == ["openvino", "onnxruntime"]
    assert all(one.latency_ms for one in record.measurements)
    assert record.artifacts[0].bytes == file.stat().st_size + file.with_suffix(".bin").stat().st_size


def test_any_onnx_file_can_be_profiled_batch_by_batch(tmp_path: Path) -> None:
    files = [foreign(tmp_path / "free.onnx"), foreign(tmp_path / "fixed.onnx", batch=2)]
    record = profile(files, QUICK, (1, 3))
    rows = [(Path(one.artifact).name, one.batch, one.latency_ms is not None) for one in record.measurements]
    assert rows == [("free.onnx", 1, True), ("free.onnx", 3, True), ("fixed.onnx", 2, True)]
    assert record.model.name == "free"
    assert record.model.input == (6,)
    assert record.artifacts[0].audit
    assert record.artifacts[0].audit.macs_pct == {"fp32": 100.0}


def test_sizes_that_a_file_leaves_free_are_said(tmp_path: Path) -> None:
    file = foreign(tmp_path / "model.onnx", length="length")
    with pytest.raises(UserError, match=r"model.onnx: input tokens .* --shape tokens=1xN"):
        profile([file], QUICK)
    with pytest.raises(UserError, match="--shape names token, which no file takes; allowed: mask, tokens"):
        profile([foreign(tmp_path / "other.onnx")], Bench(1, shapes={"token": (1, 9)}))
    record = profile([file], Bench(1, max_time=0.1, shapes={"tokens": (2, 9)}))
    assert [one.batch for one in record.measurements] == [2]


def test_a_file_that_cannot_run_fails_only_its_own_row(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    good, bad = profile([foreign(tmp_path / "good.onnx"), broken], QUICK).measurements
    assert good.latency_ms
    assert good.note == ""
    assert bad.latency_ms is None
    assert "cannot load" in bad.note
    with pytest.raises(VerificationFailed, match=r"broken.onnx: onnxruntime cannot load"):
        profile([broken], QUICK)


def test_one_that_takes_its_process_with_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Aborting:
        """A worker whose process has ended."""

        def __init__(self, *_: object) -> None:
            return

        def __enter__(self) -> "Aborting":
            return self

        def __exit__(self, *exception: object) -> None:
            return

        def ask(self, method: str) -> object:
            raise VerificationFailed(f"ended by SIGSEGV in {method}")

    monkeypatch.setattr(profiling, "Worker", Aborting)
    with pytest.raises(VerificationFailed, match="ended by SIGSEGV in describe"):
        profile([foreign(tmp_path / "model.onnx")], QUICK)


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


def test_batches_and_shapes_are_read_or_refused() -> None:
    assert profiling.sizes(None) == ()
    assert profiling.sizes("8") == (8,)
    assert profiling.sizes("1,8,32") == (1, 8, 32)
    for text in ("", "0", "1,,2", "1, 2", "2,2", "-1", "a"):
        with pytest.raises(UserError, match="as 1,8,32"):
            profiling.sizes(text)
    assert profiling.shapes(["a=1x3x224", "b:0=5"]) == {"a": (1, 3, 224), "b:0": (5,)}
    for text in ("a", "a=", "=1x2", "a=1x", "a=0x2", "a=1x-2"):
        with pytest.raises(UserError, match="as tokens=1x128"):
            profiling.shapes([text])
