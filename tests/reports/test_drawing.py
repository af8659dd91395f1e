"""The files of the chart: whole, alone, and with the points where the plan has them."""

import re
from dataclasses import replace
from importlib.resources import files
from importlib.util import find_spec
from xml.etree import ElementTree as ET

import pytest

from vitc.errors import NotAvailable
from vitc.reports import drawing
from vitc.reports.chart import COLOURS, MARKS
from vitc.reports.drawing import png, svg
from vitc.reports.points import Point, points
from vitc.reports.record import Record

SCRIPT = "<script>alert(1)</script>"
NAMESPACE = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def found(record: Record) -> list[Point]:
    return points("mine", record)


def titles(text: str) -> list[str | None]:
    root = ET.fromstring(text)  # noqa: S314  (made here)
    return [mark.findtext(f"{NAMESPACE}title") for mark in root.iter(f"{NAMESPACE}path")]


def words(text: str) -> list[str | None]:
    return [one.text for one in ET.fromstring(text).iter(f"{NAMESPACE}text")]  # noqa: S314  (made here)


def test_every_run_has_a_colour_of_its_own_in_light_and_one_in_dark() -> None:
    style = files("vitc.reports").joinpath("page.css").read_text("utf-8")
    colours = [re.findall(rf"--c{number}: (#[0-9a-f]{{6}});", style) for number in range(COLOURS)]
    assert {len(one) for one in colours} == {3}, "light, dark as the system says, and dark as asked for"
    assert all(light != dark == asked for light, dark, asked in colours)
    assert len({light for light, _, _ in colours}) == len({dark for _, dark, _ in colours}) == COLOURS


def test_every_point_is_there_and_those_in_front_are_named(found: list[Point]) -> None:
    text = svg(found)
    wanted = [f"mine: {name} on onnxruntime" for name in ("fp32/onnx", "int8/onnx")]
    assert titles(text)[:2] == wanted
    assert {"int8/onnx", "latency (ms)", "top-1 (%)", "onnxruntime", "untouched"} <= set(words(text))
    assert "size (MB)" in words(svg(found, "size"))


def test_what_is_not_measured_is_said(found: list[Point]) -> None:
    text = svg(found, "energy")
    assert words(text) == ["Nothing to draw: no artifact has both accuracy and energy (mJ)."]
    assert words(svg([], "size"))[0].startswith("Nothing to draw")  # type: ignore[union-attr]


def test_a_file_fetches_nothing_and_runs_nothing(found: list[Point]) -> None:
    hostile = [replace(one, run=SCRIPT, artifact=SCRIPT, runtime="\x1b") for one in found]
    text = svg([*hostile, *found])
    assert "<script" not in text
    assert "href" not in text
    assert "url(" not in text
    assert "\x1b" not in text
    assert titles(text)[0] == f"{SCRIPT}: {SCRIPT} on \N{REPLACEMENT CHARACTER}"


def test_the_cheaper_lies_left_and_the_righter_above(found: list[Point]) -> None:
    root = ET.fromstring(svg(found))  # noqa: S314  (made here)
    places = [mark.get("transform", "")[10:-1].split() for mark in root.iter(f"{NAMESPACE}path")]
    (before, after) = ([float(value) for value in place] for place in places[:2])
    assert after[0] < before[0]
    assert after[1] > before[1]


def test_names_in_front_do_not_lie_on_each_other(found: list[Point]) -> None:
    close = [
        replace(found[1], artifact=f"int{bits}/onnx", latency=7 + bits / 1000, top1=80 + bits) for bits in (4, 6, 8)
    ]
    beside = [replace(one, top1=80 + one.latency / 1000) for one in close if one.latency]
    assert len([word for word in words(svg(beside)) if word and word.endswith("/onnx")]) == 1


def test_what_lost_too_much_to_be_shown_is_named(found: list[Point]) -> None:
    low = replace(found[1], run="one bit", artifact="binary/onnx", top1=0.6, top1_ci=None)
    text = svg([*found, low])
    assert (
        words(text)[-1] == "Not shown, for they lie more than 15 points below the best: 1 of one bit (at best 0.60 %)."
    )
    assert not any("one bit" in (title or "") for title in titles(text))


def test_the_same_points_give_the_same_bytes(found: list[Point]) -> None:
    assert svg(found) == svg(list(found))


def test_a_png_has_the_chart_in_pixels(found: list[Point]) -> None:
    pytest.importorskip("resvg_py", reason="skipped: resvg-py is not installed")
    made = png(svg(found))
    assert made.startswith(b"\x89PNG")
    assert made != png(svg(found, "size"))


def test_without_resvg_or_a_font_a_png_is_refused_in_a_line(
    found: list[Point], monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec("resvg_py"):
        monkeypatch.setattr(drawing, "_LETTER", drawing._BLANK)  # as if no font were found
        with pytest.raises(NotAvailable, match="needs a font"):
            png(svg(found))
    monkeypatch.setattr(drawing, "find_spec", lambda _: None)
    with pytest.raises(NotAvailable, match="pip install resvg-py"):
        png(svg(found))


def test_shapes_are_closed() -> None:
    assert all(shape.startswith("M") and shape.endswith("z") for shape in MARKS.values())
