"""Points are where the record says, and their intervals are what the images and the rounds allow."""

from dataclasses import replace

import pytest

from vitc.reports.points import Point, points
from vitc.reports.record import Record


def test_a_point_for_every_measurement(record: Record) -> None:
    before, after = points("mine", record)
    assert (before.kind, after.kind) == ("float", "final")
    assert before.path == after.path == "mine onnx onnxruntime"
    assert (after.latency, after.top1, after.size, after.memory, after.energy) == (7.616, 81.2, 6.0, 119.6, None)


def test_the_interval_of_a_latency_is_that_of_its_ratio(record: Record) -> None:
    before, after = points("mine", record)
    assert before.latency_ci is None
    assert after.latency_ci == pytest.approx((14.2 / 1.879, 14.2 / 1.838))


def test_the_interval_of_an_accuracy_is_wilsons(record: Record) -> None:
    (point, _) = points("mine", record)
    share, n, z = round(0.8146 * 1300) / 1300, 1300, 1.959964
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    assert point.top1_ci == pytest.approx((100 * (middle - half), 100 * (middle + half)))


@pytest.mark.parametrize(
    ("path", "kind", "alone"),
    [
        ("merge-fp32/onnx/model.onnx", "step", False),
        ("rivals/onnx/nncf/model.onnx", "rival", True),
        ("onnx/model.onnx", "final", False),
    ],
)
def test_where_a_file_lies_says_what_it_is(record: Record, path: str, kind: str, alone: bool) -> None:  # noqa: FBT001  (a parameter of the test)
    float_one, other = record.artifacts
    found: list[Point] = points("r", replace(record, artifacts=(float_one, replace(other, path=path))))
    assert found[1].kind == kind
    assert (found[1].path != found[0].path) == alone


def test_what_was_not_measured_is_nowhere(record: Record) -> None:
    bare = replace(record.measurements[1], latency_ms=None, speedup=None, top1=None, peak_rss_mb=None, images=0)
    (_, point) = points("r", replace(record, measurements=(record.measurements[0], bare)))
    assert (point.latency, point.latency_ci, point.top1, point.top1_ci, point.memory) == (None,) * 5
