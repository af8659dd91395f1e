"""What cannot work is refused before an image is decoded for good."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from vitc.admission import admitted, check
from vitc.errors import NotAvailable, UserError
from vitc.export import TARGETS
from vitc.export.preflight import Finding, Subject
from vitc.recipe import Recipe
from vitc.runtimes import RUNTIMES

SMALL = Recipe(data="demo:48", calib_images=8)


def test_an_engine_that_is_asked_for_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        RUNTIMES, "onnxruntime", replace(RUNTIMES["onnxruntime"], missing=lambda: "onnxruntime is gone: get it back")
    )
    with pytest.raises(NotAvailable, match="get it back"):
        admitted(replace(SMALL, runtime=("onnxruntime",)))
    assert admitted(SMALL).name == "demo"  # asked for nothing: measured with what there is


def test_a_time_can_only_be_met_where_an_engine_tells_it() -> None:
    with pytest.raises(UserError, match=r"none runs here: use macs=0\.6"):
        admitted(replace(SMALL, prune="latency=0.6", runtime=("none",)))
    assert admitted(replace(SMALL, prune="latency=0.6")).name == "demo"


@pytest.mark.parametrize(
    ("recipe", "bits"), [(SMALL, 8), (replace(SMALL, ptq="int4"), 4), (replace(SMALL, ptq="off"), None)]
)
def test_each_target_sees_the_backbone_and_what_is_wanted_of_it(
    monkeypatch: pytest.MonkeyPatch, recipe: Recipe, bits: int | None
) -> None:
    seen: list[Subject] = []

    def rule(subject: Subject) -> Iterable[Finding]:
        seen.append(subject)
        return [Finding("rule", "head", "is odd", "mend it", fatal=True)]

    monkeypatch.setitem(TARGETS, "onnx", replace(TARGETS["onnx"], check=rule))
    assert [finding.rule for finding in check(recipe)["onnx"]] == ["rule"]
    (subject,) = seen
    assert subject.weight_bits == bits
    assert max(subject.peaks.values()) > 1


def test_without_images_noise_shows_the_peaks() -> None:
    assert check(Recipe(data="none", ptq="off"))["onnx"] == []
