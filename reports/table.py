"""A record for people: one table of results for the terminal, and the run folder's report.md, with the same numbers.

Names come from models and files that others made, so control characters are replaced and markup is shown as it is.
"""

import csv as csv_module
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from . import compared, energies, measuring
from .record import Artifact, Audit, Data, Layer, Machine, Measurement, Record, Stage
from .related import alike, float_of

MISSING = "not measured"
DASH = "-"
"""The same on a terminal, where the caption explains it."""
COLUMNS = (
    *("artifact", "runtime", "size MB", "top-1 %", "p50 ms", "speed-up", "peak MB", "parity %", "MACs %"),
    *("energy mJ", "modelled mJ"),
)
REPORT_ONLY = ("peak MB", "parity %", "energy mJ", "modelled mJ")
WIDEST = 13
"""Of a column on a terminal; longer names are broken."""
NOTE = (
    "Drops are in points, against the untouched model on the same target and runtime; intervals are 95 %. Parity is "
    "the share of images for which artifact and torch simulation name the same class. Peak memory is that of a process "
    "which does nothing but serve the artifact. MACs are shown by the precision that the runtime runs them in. Energy "
    "is what a sensor counts for a call, less what the machine takes at rest. Modelled is no measurement, but what "
    "published tables say of a 45 nm chip: arithmetic + memory."
)
LOSSES = (
    "Decibels by which a layer's error lies below its output, on calibration images: 10 more is a tenth of the error. "
    "The points before `on the walk` round the float model's inputs, those from there on the rounded model's."
)
STAGE_COLUMNS = ("stage", "seconds", "top-1 %", "params", "MACs")


def rows(record: Record) -> list[tuple[str, ...]]:
    """The cells under COLUMNS: a row for every artifact on every runtime, one also for an artifact nobody measured."""
    found: list[tuple[str, ...]] = []
    for artifact in record.artifacts:
        measured = [one for one in record.measurements if one.artifact == artifact.name]
        found += [_row(record, artifact, one) for one in measured] or [_row(record, artifact, None)]
    return [tuple(clean(cell) for cell in row) for row in found]


def terminal(record: Record) -> Table:
    """The results as a rich table that fits into 80 columns; what does not is left to the report."""
    lines = [f"{DASH} means {MISSING}", setting(record), *choices(record), *map(clean, measuring.doubts(record))]
    table = Table(caption="\n".join(filter(None, lines)), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown = [index for index, column in enumerate(COLUMNS) if column not in REPORT_ONLY]
    cells = [tuple(_narrow(cell) for cell in row) for row in rows(record)]
    for index in shown:
        words = " ".join([COLUMNS[index], *(row[index] for row in cells)]).split()
        width = min(WIDEST, max(map(len, words)))
        heading = COLUMNS[index].replace(" ", "\n")
        table.add_column(heading, justify="left" if index < 2 else "right", overflow="fold", min_width=width)
    for row in cells:
        table.add_row(*(Text(row[index]) for index in shown))
    return table


def measured(record: Record) -> Table:
    """How it was measured, for a terminal; the engines stand in the results already."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown = [index for index, column in enumerate(measuring.COLUMNS) if column != "runtime"]
    for index in shown:
        table.add_column(measuring.COLUMNS[index], justify="right" if index else "left", overflow="fold")
    for row in measuring.rows(record):
        table.add_row(*(Text(clean(row[index])) for index in shown))
    return table


def _narrow(cell: str) -> str:
    """A long name on two lines, and a dash for what was not measured."""
    if cell.startswith(MISSING):
        return DASH
    long = len(cell.partition(" ")[0]) > WIDEST
    return re.sub(r"(.)([/-])(?=\w{4})", r"\1\2\n", cell, count=1) if long else cell


def markdown(record: Record) -> str:
    """The text of report.md."""
    caption = setting(record)
    parts = [
        f"# {_md(record.model.name)}",
        _bullets(facts(record)),
        "## Results" + (f" ({caption})" if caption else ""),
        _grid(COLUMNS, rows(record)),
        NOTE,
        *_section("## The best for each target", choices(record)),
        *_section("## What runs in int8", audits(record)),
        *_section("## Energy, measured and modelled", energies.lines(record)),
        *_grids("## What each step costs and gains", compared.STEP_COLUMNS, compared.steps(record), compared.STEPS),
        *_section("## What each step did", compared.told(record)),
        *_grids("## On the engine and in torch", compared.DRIFT_COLUMNS, compared.drifts(record), compared.DRIFT),
        *_grids("## What each layer loses", *layers(record), LOSSES),
        *_grids("## How it was measured", measuring.COLUMNS, measuring.rows(record), measuring.NOTE),
        *_section("## What was not measured, or not told apart", measuring.doubts(record)),
        "## Stages",
        _grid(STAGE_COLUMNS, stages(record)),
        "## To repeat it",
        "    " + clean(record.command),
    ]
    return "\n\n".join(parts) + "\n"


def setting(record: Record) -> str:
    """The threads and batch of all measurements, or nothing where they differ (then each row says its own)."""
    found = {measuring.setting(one) for one in record.measurements}
    return found.pop() if len(found) == 1 else ""


def _row(record: Record, artifact: Artifact, one: Measurement | None) -> tuple[str, ...]:
    size = f"{artifact.bytes / 1e6:.2f}"
    parity = f"{100 * artifact.parity.top1_agree:.1f}" if artifact.parity else MISSING
    macs = _macs(artifact.audit)
    model = energies.modelled(artifact)
    if one is None:
        return (artifact.name, MISSING, size, MISSING, MISSING, MISSING, MISSING, parity, macs, MISSING, model)
    runtime = one.runtime if setting(record) else f"{one.runtime} ({measuring.setting(one)})"
    return (
        artifact.name,
        runtime,
        size,
        _top1(record, one),
        _pace(one),
        _speedup(record, one),
        _number(one.peak_rss_mb),
        parity,
        macs,
        energies.measured(one.energy_mj),
        model,
    )


def _pace(one: Measurement) -> str:
    """The median, or the rate of several streams; where there is neither, why."""
    if one.throughput:
        return f"{one.throughput.images_per_s:.1f} images/s"
    if one.latency_ms:
        return f"{one.latency_ms.p50:.2f}"
    return f"{MISSING}: {one.note}" if one.note else MISSING


def _macs(audit: Audit | None) -> str:
    """What ran in which precision, and what was promised and not kept."""
    if audit is None or audit.macs_pct is None:
        return MISSING
    shares = ", ".join(f"{name} {share:.0f}" for name, share in sorted(audit.macs_pct.items(), key=lambda one: -one[1]))
    return shares if audit.promised_pct == 100 else f"{shares} (kept {audit.promised_pct:.0f})"


def _top1(record: Record, one: Measurement) -> str:
    """Top-1, and how many points it lies below the untouched model's on the same target and runtime."""
    if one.top1 is None:
        return MISSING
    whole = float_of(record, one)
    if whole is None or whole is one or whole.top1 is None:
        return f"{one.top1:.2f}"
    return f"{one.top1:.2f} (drop {whole.top1 - one.top1:.2f})".replace("drop -0.00", "drop 0.00")


def _speedup(record: Record, one: Measurement) -> str:
    if one.speedup:
        low, high = one.speedup.ci95
        doubt = ", inconclusive" if one.speedup.inconclusive else ""
        return f"{one.speedup.ratio:.2f}x [{low:.2f}, {high:.2f}]{doubt}"
    beside = [other.speedup for other in record.measurements if alike(one, other)]
    return "baseline" if any(found and found.vs == one.artifact for found in beside) else MISSING


def stages(record: Record) -> list[tuple[str, ...]]:
    """The cells under STAGE_COLUMNS."""
    return [_stage(stage) for stage in record.stages]


def _stage(stage: Stage) -> tuple[str, ...]:
    top1 = f"{stage.top1:.2f}" if stage.top1 is not None else DASH
    params = f"{stage.params / 1e6:.2f} M" if stage.params is not None else DASH
    macs = f"{stage.macs / 1e9:.3f} G" if stage.macs is not None else DASH
    return (stage.name, f"{stage.seconds:.1f}", top1, params, macs)


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.0f}"


def facts(record: Record) -> list[str]:
    """What was compressed, on what it was scored, and where; a line each."""
    machine = record.machine
    size = "x".join(map(str, record.model.input))
    versions = ", ".join(f"{name} {version}" for name, version in {"vitc": record.vitc, **machine.packages}.items())
    return [
        f"Model: {record.model.name}, input {size}, weights {record.model.weights_sha256[:12]}",
        f"Scored on: {_data(record.data)}",
        f"Calibrated on: {_data(record.calibration)}",
        *([f"Learned from: {_data(record.recovery)}"] if record.recovery else []),
        f"Machine: {machine.cpu}, {machine.cores} cores ({', '.join(machine.isa)}), {machine.os}",
        *([f"Peak, in billions of multiply-adds a second: {_peaks(machine)}"] if machine.peaks else []),
        f"Versions: {versions}",
        f"Started: {record.started}, seed {record.seed}",
    ]


def _peaks(machine: Machine) -> str:
    return ", ".join(
        f"{peak.runtime} {peak.precision} {peak.macs_per_second / 1e9:.0f} ({peak.threads}T)" for peak in machine.peaks
    )


def _data(data: Data | None) -> str:
    return f"{data.images} images of {data.source} ({data.sha256[:12]})" if data else "nothing"


def choices(record: Record) -> list[str]:
    """Which artifact is best for each target, one line each."""
    return [clean(f"best for {one.target}: {one.artifact} ({one.why})") for one in record.choices]


def audits(record: Record) -> list[str]:
    """What really runs in int8, every layer that does not although it was promised, and notes on artifacts."""
    lines = []
    for artifact in record.artifacts:
        if audit := artifact.audit:
            lines.append(f"{artifact.name}: {_ran(audit)}")
            lines += [f"{artifact.name}: not {fallback.layer}: {fallback.reason}" for fallback in audit.fallbacks]
        if artifact.note:
            lines.append(f"{artifact.name}: {artifact.note}")
    return lines


def _ran(audit: Audit) -> str:
    if not (audit.int8_macs_pct or audit.fallbacks):
        return "no MACs run in int8, and none were promised to"
    kept = f"of what was promised {audit.promised_pct:.1f} %" if audit.fallbacks else "all that was promised to do so"
    return f"{audit.int8_macs_pct:.1f} % of the MACs run in int8, {kept}"


def layers(record: Record) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """What rounding costs each layer, the dearest first: columns and cells; none where nothing was rounded."""
    points = list(dict.fromkeys(point for layer in record.layers for point in layer.loss))
    dearest = sorted(record.layers, key=lambda layer: -layer.loss.get(points[-1], 0.0)) if points else []
    cells = [
        (layer.name, f"w{layer.weight_bits}a{layer.activation_bits}", *(_loss(layer, point) for point in points))
        for layer in dearest
    ]
    return ("layer", "bits", *points), cells


def _loss(layer: Layer, point: str) -> str:
    """In decibels below the layer's output: 10 more is a tenth of the error."""
    loss = layer.loss.get(point)
    return "-" if loss is None else f"{-10 * math.log10(max(loss, 1e-12)):.1f}"


def _section(heading: str, lines: Sequence[str]) -> list[str]:
    return [heading, _bullets(lines)] if lines else []


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_md(line)}" for line in lines)


def csv(records: Mapping[str, Record]) -> str:
    """The results of named runs, for a spreadsheet: the cells of all the other tables."""
    text = io.StringIO()
    writer = csv_module.writer(text, lineterminator="\n")
    writer.writerow(("run", *COLUMNS))
    writer.writerows((clean(name), *row) for name, record in records.items() for row in rows(record))
    return text.getvalue()


def _grids(heading: str, columns: Sequence[str], cells: Sequence[Sequence[str]], note: str) -> list[str]:
    """A section that is a table; nothing where that would be empty."""
    return [heading, note, _grid(columns, cells)] if cells else []


def _grid(columns: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *([_md(cell) for cell in row] for row in cells)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _md(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*\[\]<>|])", r"\\\1", clean(text))


def clean(text: str) -> str:
    """Text that can neither break a line nor steer a terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
