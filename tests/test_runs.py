"""Run folders read back."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from vitc.errors import UserError
from vitc.reports.related import float_of
from vitc.runs import IMAGES, LABELS, Run

pytestmark = pytest.mark.xdist_group("demo_run")


def test_a_run_knows_its_results_and_their_float(demo_run: Path) -> None:
    run = Run(demo_run)
    assert run.names == ["fp32/onnx", "int8/onnx"]
    ((where, one),) = run.asked().items()
    assert (where, one.artifact) == (("onnx", "onnxruntime"), "int8/onnx")
    beside = float_of(run.record, one)
    assert beside is not None
    assert beside.artifact == "fp32/onnx"


def test_answers_are_those_that_were_scored(demo_run: Path) -> None:
    run = Run(demo_run)
    for one in run.record.measurements:
        top = run.answers_of(one)
        assert top is not None
        assert 100 * np.mean(top[:, 0] == run.answers[LABELS]) == pytest.approx(one.top1)
    assert len(run.answers[IMAGES]) == 48


def test_without_kept_answers_there_are_none(demo_run: Path, tmp_path: Path) -> None:
    shutil.copy(demo_run / "record.json", tmp_path)
    run = Run(tmp_path)
    assert run.answers_of(run.record.measurements[0]) is None


@pytest.mark.parametrize("text", ["", "{", '{"schema": 9}', "[]"])
def test_records_that_are_none_are_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "record.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"record\.json"):
        _ = Run(tmp_path).record


def test_a_record_without_optional_keys_still_loads(demo_run: Path, tmp_path: Path) -> None:
    record = json.loads((demo_run / "record.json").read_text("utf-8"))
    for key in ("choices", "layers"):
        record.pop(key, None)
    (tmp_path / "record.json").write_text(json.dumps(record), encoding="utf-8")
    assert Run(tmp_path).names == ["fp32/onnx", "int8/onnx"]
