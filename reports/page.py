"""The page: one file with everything that a run found, for a browser without a network.

The tables are written here, with the same cells as the terminal's and the report's, so they are there without scripts,
too; the script of the page sorts, filters and copies them, and draws the chart from the points.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from html import escape
from importlib.resources import files
from typing import Any

from . import chart, compared, energies, measuring, table
from .points import Point, points
from .record import Record

MOST_DETAILED = 12
"""Runs that are shown in full; with more, the page would get slow. Their report.md has the rest."""


@dataclass(frozen=True)
class Changed:
    """An image that the compressed model classifies otherwise than the float one."""

    image: str
    right: str
    before: str
    after: str


@dataclass(frozen=True)
class Run:
    """A run as the page shows it."""

    name: str
    record: Record
    changed: Sequence[Changed] = ()
    artifact: str = ""
    """The artifact that `changed` speaks of."""


def page(runs: Sequence[Run]) -> str:
    """The whole file."""
    title = escape(table.clean(", ".join(dict.fromkeys(run.record.model.name for run in runs))))
    found = [point for run in runs for point in points(run.name, run.record)]
    near = " checked" if chart.nearest(found) else ""
    facts = json.dumps(_facts(found), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    style, script = (files(__package__).joinpath(f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    options = "".join(f'<option value="{key}">{escape(text)}</option>' for key, text in chart.AXES.items())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>vitc: {title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<button id="theme" type="button">Dark or light</button>
{"".join(f'<p class="verdict">{escape(line)}</p>' for line in verdicts(runs))}
</header>
<main>
<section aria-labelledby="chart-title">
<h2 id="chart-title">Accuracy against cost</h2>
<p class="tools"><label>Across: <select id="axis">{options}</select></label>
<label id="nearby"><input id="near" type="checkbox"{near}>
Only what is within {chart.FAR:g} points of the best</label></p>
<div id="chart"></div>
<p class="note">Bars are 95 % intervals: of accuracy by the number of images, of latency by the ratio to the baseline,
of energy by what the sensor told. Thin lines join what
each step made for a target; the dashed one joins what nothing else beats on both axes.
Tab reaches the chart, the arrow keys its points.</p>
</section>
<section aria-labelledby="results-title">
<h2 id="results-title">Results</h2>
<p class="tools"><label>Show rows with: <input id="filter" type="search"></label>
<button type="button" data-copy="markdown">Copy as Markdown</button>
<button type="button" data-copy="csv">Copy as CSV</button> <span id="said" role="status"></span></p>
{_results(runs)}
<p class="note">{escape(table.NOTE)}</p>
</section>
{"".join(_details(run, full=len(runs) <= MOST_DETAILED) for run in runs)}
</main>
<script type="application/json" id="facts">{facts}</script>
<script>
{script}</script>
</body>
</html>
"""


def _facts(found: Sequence[Point]) -> dict[str, Any]:
    """What the script needs to draw the chart."""
    by, names = chart.meaning(found)
    return {
        "names": [field.name for field in fields(Point)],
        "points": [[_short(value) for value in astuple(point)] for point in found],
        "axes": chart.AXES,
        "up": chart.UP,
        "plans": {axis: [_plan(found, axis, near=near) for near in (False, True)] for axis in chart.AXES},
        "nothing": {axis: chart.nothing(axis) for axis in chart.AXES},
        "kinds": chart.KINDS,
        "marks": chart.MARKS,
        "by": by,
        "colours": names,
        "shades": chart.COLOURS,
        "named": chart.MOST_NAMED,
    }


def _plan(found: Sequence[Point], axis: str, *, near: bool) -> dict[str, Any] | None:
    """A chart for the script; None where there is none, or it would be that of all points again."""
    made = chart.plan(found, axis, near=near)
    if made is None or (near and not made.below):
        return None
    return {**_short(asdict(made)), "lost": chart.lost(found, made)}


def verdicts(runs: Sequence[Run]) -> list[str]:
    """A sentence a run: what its fastest result costs and gains; or how many runs there are, where they are many."""
    if len(runs) > MOST_DETAILED:
        return [f"{len(runs)} runs."]
    return [sentence for run in runs if (sentence := _verdict(run))]


def _verdict(run: Run) -> str:
    made = {one.artifact for one in points(run.name, run.record) if one.kind == "final"}
    timed = [(one.latency_ms.p50, one) for one in run.record.measurements if one.artifact in made and one.latency_ms]
    if not timed:
        return f"{table.clean(run.name)}: no result was timed."
    p50, best = min(timed, key=lambda one: one[0])
    cells = next(row for row in table.rows(run.record) if row[0] == best.artifact and row[1].startswith(best.runtime))
    known = dict(zip(table.COLUMNS, cells, strict=True))
    beside = f", {known['speed-up']} as fast as {best.speedup.vs}" if best.speedup else ""
    accuracy = f"top-1 % {known['top-1 %']}" if best.top1 is not None else "accuracy not measured"
    return table.clean(
        f"{run.name}: {best.artifact} takes {p50:.2f} ms{beside}, and {known['size MB']} MB; {accuracy}."
    )


def _results(runs: Sequence[Run]) -> str:
    several = len(runs) > 1
    columns = (("run",) if several else ()) + table.COLUMNS
    cells = [((run.name,) if several else ()) + row for run in runs for row in table.rows(run.record)]
    return _table(columns, cells, "Table of results", 'id="results"')


def _details(run: Run, *, full: bool) -> str:
    """All else that is known of a run; or only how to repeat it."""
    parts = [f"<p>To repeat it: <code>{escape(table.clean(run.record.command))}</code></p>"]
    parts += _everything(run) if full else [_note("Its report.md has the rest.")]
    opened = " open" if full else ""
    return f"<details{opened}><summary><h2>{escape(table.clean(run.name))}</h2></summary>{''.join(parts)}</details>\n"


def _everything(run: Run) -> list[str]:
    record = run.record
    steps = (compared.STEP_COLUMNS, compared.steps(record))
    drifts = (compared.DRIFT_COLUMNS, compared.drifts(record))
    measured = (measuring.COLUMNS, measuring.rows(record))
    stages = (table.STAGE_COLUMNS, table.stages(record))
    parts = [
        _list(table.facts(record)),
        _list(table.choices(record)),
        *_section("What each step costs and gains", steps, f"Steps of {run.name}", compared.STEPS),
        *_section("On the engine and in torch", drifts, f"Drift of {run.name}", compared.DRIFT),
        *_section("What each layer loses", table.layers(record), f"Layers of {run.name}", table.LOSSES),
        *_section("How it was measured", measured, f"How {run.name} was measured", measuring.NOTE),
        *_section("What each stage of the run took, and left", stages, f"Stages of {run.name}"),
    ]
    lists = {
        "What each step did": compared.told(record),
        "What was not measured, or not told apart": measuring.doubts(record),
        "What runs in which precision": table.audits(record),
        "Energy, measured and modelled": energies.lines(record),
    }
    for heading, lines in lists.items():
        parts += [f"<h3>{heading}</h3>", _list(lines)] if lines else []
    if run.changed:
        rows = [(one.image, one.right, one.before, one.after) for one in run.changed]
        shown = _table(("image", "label", "float", run.artifact), rows, f"Images whose class changed in {run.name}")
        parts += [f"<h3>Images whose class changed ({len(rows)})</h3>", shown]
    return parts


def _section(
    heading: str, rows: tuple[Sequence[str], Sequence[Sequence[str]]], label: str, note: str = ""
) -> list[str]:
    """A table under its heading; nothing where that would be empty."""
    columns, cells = rows
    return [f"<h3>{heading}</h3>", _table(columns, cells, label), *([_note(note)] if note else [])] if cells else []


def _table(columns: Sequence[str], cells: Iterable[Sequence[str]], label: str, words: str = "") -> str:
    """A table that scrolls by itself where it is too wide, and can be reached by keyboard for that."""
    head = "".join(f'<th scope="col"><button type="button">{escape(table.clean(one))}</button></th>' for one in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(table.clean(cell))}</td>" for cell in row) + "</tr>\n" for row in cells
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.clean(label))}"><table {words}>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n"
    )


def _short(value: Any) -> Any:
    """A number as precise as a chart needs it."""
    if isinstance(value, dict):
        return {key: _short(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return [_short(one) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(table.clean(line))}</li>' for line in lines)}</ul>" if lines else ""


def _note(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>'
