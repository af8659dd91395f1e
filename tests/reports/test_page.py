"""The page: one file, the numbers of the other tables, text that stays text; and how it behaves in a browser."""

import csv
import io
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from vitc.reports import compared, table
from vitc.reports.page import MOST_DETAILED, Changed, Run, page
from vitc.reports.record import Layer, Record

SCRIPT = "<script>alert(1)</script>"
BROWSERS = ("chromium", "google-chrome", "chromium-browser")


@pytest.fixture
def run(record: Record) -> Run:
    layers = (Layer("blocks.0.fc1", 8, 8, {"gptq": 1e-4}), Layer("head", 8, 8, {"gptq": 1e-3}))
    return Run("mine", replace(record, layers=layers), [Changed("a.jpg", "3", "3", "7")], "int8/onnx on onnxruntime")


def cells(html: str, label: str) -> list[list[str]]:
    """What stands in the body of the table in the region of that label."""
    region = html[html.index(f'aria-label="{label}"') :].partition("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", region.partition("<tbody>")[2], re.DOTALL)
    return [[unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", row, re.DOTALL)] for row in rows]


def test_all_tables_show_the_same_numbers(run: Run) -> None:
    html = page([run])
    rows = [list(row) for row in table.rows(run.record)]
    assert cells(html, "Table of results") == rows
    first, *others = csv.reader(io.StringIO(table.csv({"mine": run.record})))
    assert first == ["run", *table.COLUMNS]
    assert others == [["mine", *row] for row in rows]
    report = table.markdown(run.record)
    for cell in (cell for row in (*rows, *compared.steps(run.record), *compared.drifts(run.record)) for cell in row):
        assert cell in report.replace("\\", "")
    console = Console(width=300, file=None)
    with console.capture() as shown:
        console.print(table.terminal(run.record))
    for name, cell in ((name, cell) for row in rows for name, cell in zip(table.COLUMNS, row, strict=True)):
        assert name in table.REPORT_ONLY or cell == table.MISSING or cell in shown.get()
    assert cells(html, "Stages of mine") == [list(row) for row in table.stages(run.record)]
    assert [row[0] for row in cells(html, "Layers of mine")] == ["head", "blocks.0.fc1"]  # the dearest first
    assert cells(html, "Steps of mine") == [list(row) for row in compared.steps(run.record)]
    assert cells(html, "Drift of mine") == [list(row) for row in compared.drifts(run.record)]
    assert compared.told(run.record) == ["quantize: 2 layers <keep> 8 bits"]
    assert "quantize: 2 layers &lt;keep&gt; 8 bits" in html
    assert "quantize: 2 layers \\<keep\\> 8 bits" in report
    assert cells(html, "Images whose class changed in mine") == [["a.jpg", "3", "3", "7"]]


def test_the_verdict_is_of_the_fastest_result(run: Run) -> None:
    html = unescape(page([run]))
    assert (
        "mine: int8/onnx takes 7.62 ms, 1.86x [1.84, 1.88] as fast as fp32/onnx, and 6.00 MB; "
        "top-1 % 81.20 (drop 0.26)." in html
    )


def test_nothing_is_fetched_and_one_run_is_small(run: Run) -> None:
    html = page([run])
    assert not re.findall(r"(?:src|href)=|url\(|@import", html)
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
    assert len(html) < 100_000


def test_two_hundred_runs_fit(run: Run) -> None:
    html = page([replace(run, name=f"run-{number}") for number in range(200)])
    assert len(html.encode()) < 1_500_000
    assert html.count("report.md has the rest") == 200
    assert "Layers of run-0" not in html
    assert "Layers of run-0" in page([replace(run, name=f"run-{number}") for number in range(MOST_DETAILED)])


def test_names_stay_text(run: Run) -> None:
    record = run.record
    artifacts = tuple(replace(one, name=one.name + SCRIPT) for one in record.artifacts)
    measurements = tuple(replace(one, artifact=one.artifact + SCRIPT) for one in record.measurements)
    model = replace(record.model, name=SCRIPT)
    record = replace(record, model=model, artifacts=artifacts, measurements=measurements, command=SCRIPT)
    html = page([Run(SCRIPT, record, [Changed(SCRIPT, SCRIPT, SCRIPT, SCRIPT)], SCRIPT)])
    assert SCRIPT not in html
    assert html.count("<script") == html.count("</script>") == 2


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"skipped: no browser; one of {', '.join(BROWSERS)} is wanted")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def tab(browser: Any, run: Run, tmp_path: Path) -> Iterator[Any]:
    """The page of two runs in a browser; what goes wrong in it fails the test."""
    other = replace(run, name="other", record=replace(run.record, recipe={"seed": 1}))
    (tmp_path / "page.html").write_text(page([run, other]), encoding="utf-8")
    opened = browser.new_page(viewport={"width": 1400, "height": 1000}, color_scheme="light")
    wrong: list[str] = []
    opened.on("console", lambda message: wrong.append(message.text))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto((tmp_path / "page.html").as_uri())
    yield opened
    opened.close()
    assert wrong == []


def column(tab: Any, index: int) -> list[str]:
    """The visible cells of a column of the results."""
    shown: list[str] = tab.eval_on_selector_all(
        "#results tbody tr", f"rows => rows.filter(row => !row.hidden).map(row => row.cells[{index}].textContent)"
    )
    return shown


def test_the_chart_is_drawn_and_its_axis_switches(tab: Any) -> None:
    assert tab.locator("#chart .point").count() == 4
    assert not tab.locator("#near").is_visible()
    before = tab.locator("#chart .point").first.get_attribute("aria-label")
    assert before == "mine: fp32/onnx on onnxruntime, 81.46 %, 14.20 latency (ms)"
    tab.select_option("#axis", "size")
    assert "22.88 size (MB)" in tab.locator("#chart .point").first.get_attribute("aria-label")
    tab.select_option("#axis", "energy")
    assert "Nothing to draw" in tab.locator("#chart").inner_text()


def test_what_lost_too_much_is_shown_where_it_is_asked_for(browser: Any, run: Run, tmp_path: Path) -> None:
    whole, last = run.record.measurements
    low = replace(run, name="one bit", record=replace(run.record, measurements=(whole, replace(last, top1=0.5))))
    (tmp_path / "page.html").write_text(page([run, low]), encoding="utf-8")
    opened = browser.new_page()
    opened.goto((tmp_path / "page.html").as_uri())
    assert opened.locator("#chart .point").count() == 3
    assert "1 of one bit (at best 0.50 %)" in opened.locator("#chart").inner_text()
    opened.locator("#near").press("Space")
    assert opened.locator("#chart .point").count() == 4
    opened.close()


def test_rows_are_sorted_and_filtered(tab: Any) -> None:
    heading = tab.locator("#results th", has_text="size MB")
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert column(tab, 3) == ["6.00", "6.00", "22.88", "22.88"]
    heading.locator("button").click()
    assert column(tab, 3) == ["22.88", "22.88", "6.00", "6.00"]
    tab.fill("#filter", "other INT8")
    assert column(tab, 1) == ["int8/onnx"]


def test_the_keyboard_reaches_and_works_everything(tab: Any) -> None:
    reached = []
    for _ in range(40):
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate("document.activeElement.id || document.activeElement.getAttribute('class') || ''"))
        if reached[-1] == "point":
            assert tab.locator("#tip").inner_text().startswith(("mine: ", "other: "))
    assert {"theme", "axis", "point", "filter", "scroll"} <= set(reached)
    assert reached.count("point") == 1
    tab.locator("#chart .point[tabindex='0']").focus()
    cheapest = tab.locator("#tip").inner_text()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowRight")
    assert "fp32/onnx" in tab.locator("#tip").inner_text()
    assert "int8/onnx" in cheapest
    for _ in range(3):
        tab.keyboard.press("ArrowLeft")
    assert tab.locator("#tip").inner_text() == cheapest
    tab.locator("#results th button").first.focus()
    tab.keyboard.press("Enter")
    assert tab.locator("#results th").first.get_attribute("aria-sort") == "ascending"


def test_dark_and_light(tab: Any) -> None:
    def paper() -> str:
        return str(tab.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = paper()
    tab.click("#theme")
    dark = paper()
    assert light != dark
    tab.click("#theme")
    tab.emulate_media(color_scheme="dark")
    assert paper() == light  # what the reader chose stays
    tab.reload()
    assert paper() == dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_axe_finds_no_serious_violation(tab: Any, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="skipped: axe-core is not installed")
    tab.set_viewport_size({"width": width, "height": 900})
    tab.emulate_media(color_scheme=scheme)
    found = axe.Axe().run(tab).response["violations"]
    assert [(one["id"], one["help"]) for one in found if one["impact"] in {"serious", "critical"}] == []


def test_what_is_shown_is_copied(tab: Any) -> None:
    tab.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    tab.fill("#filter", "mine int8")
    tab.click("[data-copy=csv]")
    header, row = csv.reader(io.StringIO(tab.evaluate("window.copied")))
    assert header == ["run", *table.COLUMNS]
    assert row[:3] == ["mine", "int8/onnx", "onnxruntime"]
    tab.click("[data-copy=markdown]")
    assert tab.evaluate("window.copied").splitlines()[2].startswith("| mine | int8/onnx | onnxruntime | 6.00 |")
    assert tab.locator("#said").inner_text() == "Copied."


def test_paper_shows_everything_in_ink(tab: Any) -> None:
    tab.click("#theme")
    tab.evaluate("document.querySelector('details').open = false")
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.locator("text=What each layer loses").first.is_visible()
    assert not tab.locator("#filter").is_visible()
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.locator("details").first.get_attribute("open") is None


def test_a_narrow_page_does_not_scroll_sideways(tab: Any) -> None:
    tab.set_viewport_size({"width": 390, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
