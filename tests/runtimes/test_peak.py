"""The bound: a figure for every precision and number of threads, in the precision that really ran."""

from pathlib import Path

import numpy as np
import pytest

from vitc.runtimes import RUNTIMES, peak
from vitc.runtimes.audit import macs


@pytest.mark.parametrize(("engine", "floats"), [("onnxruntime", {"fp32"}), ("openvino", {"fp32", "bf16", "fp16"})])
def test_floats_and_codes_are_both_measured(engine: str, floats: set[str]) -> None:
    pytest.importorskip(engine)
    found = peak.measure([engine], [1])
    assert {one.runtime for one in found} == {engine}
    assert {one.threads for one in found} == {1}
    assert all(one.macs_per_second > 0 for one in found)
    (codes,) = {one.precision for one in found} - floats
    assert codes == "int8"


def test_the_count_is_what_the_engine_ran(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    for product in (peak.FLOATS, peak.CODES):
        file = peak._row(tmp_path / "row.onnx", product)
        kernels = RUNTIMES["onnxruntime"].executed(file, np.zeros((peak.ROWS, peak.WIDTH), np.float32))  # type: ignore[misc]
        assert sum(map(macs, kernels)) == peak.MACS


def test_the_quickest_try_counts() -> None:
    rows = [peak.Peak("e", "int8", 1, 2.0), peak.Peak("e", "int8", 1, 3.0), peak.Peak("e", "fp32", 1, 1.0)]
    assert peak._highest(rows) == [rows[1], rows[2]]


def test_engines_without_a_product_have_no_peak() -> None:
    assert peak.measure(["coreml"], [1]) == []
