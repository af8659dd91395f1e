"""The command line: parse, call one function, print. Heavy libraries are imported when a command needs them."""

import importlib.metadata
import shlex
import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from json import dumps
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from typer.exceptions import TyperException

from . import console, flags
from .errors import UserError, VerificationFailed, VitcError

if TYPE_CHECKING:
    from .recipe import Recipe

app = typer.Typer(
    name="vitc",
    help="Compress trained vision transformers, and measure what it costs on the runtime that will serve them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Words = Mapping[str, object]
_NO_WORDS: Words = MappingProxyType({})
LISTS = ("export", "runtime", "equalize", "exclude", "keep")
"""Words that may say several things, with commas between."""


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version")] = False
) -> None:
    if version:
        typer.echo(f"vitc {importlib.metadata.version('vitc')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def compress(
    context: typer.Context,
    model: flags.Model = "demo",
    weights: flags.Weights = None,
    data: flags.Data = None,
    calib: flags.Calib = None,
    calib_images: flags.CalibImages = None,
    merge: flags.Merge = None,
    drop: flags.Drop = None,
    prune: flags.Prune = None,
    recover: flags.Recovery = None,
    recover_data: flags.RecoveryData = None,
    recover_images: flags.RecoveryImages = None,
    ptq: flags.Ptq = None,
    effort: flags.Effort = None,
    equalize: flags.Equalize = None,
    ranges: flags.Ranges = None,
    rounding: flags.Rounding = None,
    attention: flags.Attention = None,
    binary_attention: flags.BinaryAttention = None,
    axiswise: flags.Axiswise = None,
    exclude: flags.Exclude = None,
    keep: flags.Keep = None,
    export: flags.Export = None,
    runtime: flags.Runtime = None,
    threads: flags.Threads = None,
    batch: flags.Batch = None,
    max_time: flags.MaxTime = None,
    static: flags.Static = None,
    meter: flags.Meter = None,
    image_input: flags.ImageInput = None,
    allow_slower: flags.Slower = None,
    allow_fallback: flags.Fallback = None,
    workers: flags.Workers = None,
    seed: flags.Seed = None,
    recipe: flags.File = None,
    out: flags.Out = None,
    resume: flags.Resume = False,
    check: flags.Check = False,
    dry_run: flags.Dry = False,
    json: flags.Json = False,
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,
) -> None:
    """Compress a trained backbone, export it, and measure it beside the untouched one."""
    _run(context)


@app.command("export")
def export_(
    context: typer.Context,
    model: flags.Model,
    weights: flags.Weights = None,
    data: flags.Data = None,
    export: flags.Export = None,
    runtime: flags.Runtime = None,
    threads: flags.Threads = None,
    batch: flags.FixedBatch = None,
    meter: flags.Meter = None,
    max_time: flags.MaxTime = None,
    image_input: flags.ImageInput = None,
    workers: flags.Workers = None,
    seed: flags.Seed = None,
    recipe: flags.File = None,
    out: flags.Out = None,
    resume: flags.Resume = False,
    check: flags.Check = False,
    dry_run: flags.Dry = False,
    json: flags.Json = False,
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,
) -> None:
    """Export a backbone as it is, and verify and measure what was written."""
    _run(context, defaults={"data": "none"}, fixed={"ptq": "off", "static": batch is not None or None})


@app.command()
def profile(
    context: typer.Context,
    artifacts: Annotated[
        list[Path],
        typer.Argument(metavar="ARTIFACT...", help="Exported files; the first is what the others are held against"),
    ],
    threads: flags.Threads = None,
    batch: flags.Batches = None,
    shape: flags.Shape = None,
    max_time: flags.MaxTime = None,
    tell: flags.Tell = None,
    throughput: flags.Throughput = False,
    meter: flags.Meter = None,
    json: flags.Json = False,
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,
) -> None:
    """Measure exported files on this machine, interleaved; any ONNX file will do."""
    from . import profiling
    from .bench import asked
    from .reports import table
    from .reports.gate import share

    words = {"shapes": profiling.shapes(shape or ()), "tell": share(tell), "throughput": throughput}
    bench, progress = asked(threads, max_time=max_time, meter=meter, **words), console.progress(context)
    record = profiling.profile(artifacts, bench, profiling.sizes(batch), progress=progress, command=_command())
    console.show(record, as_json=json)
    if not json:
        console.print_table(table.measured(record))


@app.command()
def compare(
    context: typer.Context,
    baseline: Annotated[str, typer.Argument(metavar="BASELINE", help="A run folder, or FOLDER:ARTIFACT")],
    candidate: Annotated[str, typer.Argument(metavar="CANDIDATE", help="Another, held against it")],
    max_drop: flags.MaxDrop = 0.5,
    max_slowdown: flags.MaxSlowdown = "5%",
    max_size: flags.MaxSize = None,
    max_memory: flags.MaxMemory = None,
    max_energy: flags.MaxEnergy = None,
    remeasure: flags.Remeasure = False,
    allow_inconclusive: flags.Inconclusive = False,
    junit: flags.Junit = None,
    threads: flags.Threads = None,
    batch: flags.Batch = None,
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,
) -> None:
    """Hold a run against another: the gate. Exit 1 where a limit is not kept, or could not be decided."""
    from . import comparing
    from .atomic import write_text
    from .bench import asked
    from .reports import gate
    from .reports.junit import xml

    extras = (gate.share(word) for word in (max_size, max_memory, max_energy))
    limits = gate.Limits(max_drop, gate.share(max_slowdown), *extras)
    bench = asked(threads, batch=batch) if remeasure else None
    findings = comparing.compare(baseline, candidate, limits, bench, console.progress(context))
    if junit:
        write_text(junit, xml(findings, allow_inconclusive=allow_inconclusive))
    console.print_table(gate.table(findings))
    stopping = gate.stopping(findings, allow_inconclusive=allow_inconclusive)
    if stopping:
        raise VerificationFailed(f"{stopping[0].pair}: {stopping[0].what} {stopping[0].verdict}: {stopping[0].reason}")


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of finished runs")],
    out: flags.Page = Path("report.html"),
    csv: flags.Csv = None,
    svg: flags.Svg = None,
    png: flags.Png = None,
    axis: flags.Axis = "latency",
    verbose: flags.Verbose = False,
) -> None:
    """Write a page of one or several runs: one file, for a browser without a network; and its chart as a file."""
    from . import reporting

    written = reporting.write(reporting.read(runs), reporting.Wanted(out, csv, svg, png, axis))
    typer.echo(f"wrote {' and '.join(map(str, written))}")


@app.command()
def models(
    pattern: Annotated[str, typer.Argument(metavar="[PATTERN]", help="A name with * and ?")] = "*",
    verbose: flags.Verbose = False,
) -> None:
    """List the names that MODEL may be."""
    from .models import names

    found = names(pattern)
    if not found:
        raise UserError(f"no model is called {pattern!r}; use * and ?, as in 'deit*'")
    typer.echo("\n".join(found))


@app.command()
def doctor(json: flags.Facts = False, verbose: flags.Verbose = False) -> None:
    """Say what this machine offers: instruction sets, engines, devices, versions, energy sensors."""
    from .runtimes import doctor

    if json:
        typer.echo(dumps([asdict(finding) for finding in doctor.findings()], indent=1))
        return
    table = Table("", "found", "what to do", box=None)
    for finding in doctor.findings():
        table.add_row(finding.what, finding.found, finding.mend)
    console.print_table(table)


def _run(context: typer.Context, defaults: Words = _NO_WORDS, fixed: Words = _NO_WORDS) -> None:
    """Resolve the recipe from file and flags, and run it or say what it would do."""
    from . import admission, pipeline, recipe, recipe_file, runs

    given = context.params
    words = {name: given.get(name) for name in recipe.WORDS}
    lists = {name: tuple(given[name].split(",")) for name in LISTS if given.get(name)}
    resolved = recipe_file.resolve(given["recipe"], {**words, **lists, **fixed}, defaults)
    out = given["out"] or _new_folder(resolved)
    if given["dry_run"]:
        files = "\n".join(f"# {path}" for path in pipeline.plan(resolved, out))
        typer.echo(f"{resolved.to_toml()}\n# would write\n{files}")
        return
    if given["check"]:
        console.show_findings(admission.check(resolved))
        return
    outcome = pipeline.run(pipeline.Request(resolved, out, given["resume"], _command()), console.progress(context))
    console.show(outcome.record, as_json=given["json"])
    console.summarize(out / runs.REPORT)
    if outcome.complaints:
        raise VerificationFailed(f"{outcome.complaints[0]}; the run is kept in {out}")


def _command() -> str:
    """What was typed, to repeat it."""
    return shlex.join(["vitc", *sys.argv[1:]])


def _new_folder(recipe: "Recipe") -> Path:
    """runs/<model>-<ptq>, with a number where that is taken."""
    stem = f"{Path(recipe.model).stem}-{recipe.ptq}".replace(":", "-")
    names = (stem, *(f"{stem}-{number}" for number in range(2, 10**6)))
    return next(path for name in names if not (path := Path("runs") / name).exists())


INTERRUPTED = 130
"""What typer makes of Ctrl-C."""


def main() -> None:
    """Run a command; whatever goes wrong becomes one line and the documented exit code."""
    try:
        code = app(standalone_mode=False) or 0
        line = "interrupted; the finished stages are kept, add --resume to go on" if code == INTERRUPTED else ""
    except (VitcError, OSError, TyperException) as problem:
        if not {"-v", "--verbose"}.isdisjoint(sys.argv):
            traceback.print_exc()
        line, code = console.explain(problem)
    if line:
        typer.echo(f"vitc: {line}", err=True)
    sys.exit(code)
