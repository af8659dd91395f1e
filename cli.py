"""The command line: parse, call one function, print. Heavy libraries are imported when a command needs them."""

import errno
import importlib.metadata
import shlex
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from typer.exceptions import TyperException

from .errors import UserError, VerificationFailed, VitcError

if TYPE_CHECKING:
    from .progress import Progress
    from .recipe import Recipe
    from .reports.record import Record

app = typer.Typer(
    name="vitc",
    help="Compress trained vision transformers, and measure what it costs on the runtime that will serve them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Words = Mapping[str, object]
_NO_WORDS: Words = MappingProxyType({})

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="demo, a timm name, path/to/file.py:factory, or a saved program (.pt2)")
]
Weights = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="A file of tensors (safetensors, or .pth read as tensors only), or `random`"),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="SRC", help="Images that are scored: demo, a folder with a folder per class or a manifest.csv, or none"
    ),
]
Calib = Annotated[
    str | None, typer.Option(metavar="SRC", help="Images for calibration (default: a part of --data, never scored)")
]
CalibImages = Annotated[int | None, typer.Option(metavar="N", help="At most so many calibration images (default: 128)")]
Ptq = Annotated[
    str | None, typer.Option(metavar="SPEC", help="Post-training quantization: int8 or off (default: int8)")
]
Export = Annotated[str | None, typer.Option(metavar="LIST", help="Targets, separated by commas: onnx")]
Runtime = Annotated[
    str | None, typer.Option(metavar="LIST", help="Engines to measure with, separated by commas: onnxruntime")
]
Threads = Annotated[
    int | None, typer.Option(metavar="N", help="Threads of the measured runtime (default: its own choice)")
]
Batch = Annotated[
    int | None, typer.Option(metavar="N", help="Images an inference when latency is measured (default: 1)")
]
Workers = Annotated[int | None, typer.Option(metavar="N", help="Processes that decode images (default: 2)")]
File = Annotated[
    Path | None, typer.Option("--recipe", metavar="FILE", help="A TOML file with the same words; flags override it")
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="The run folder (default: a new one under runs/)")]
Resume = Annotated[bool, typer.Option("--resume", help="Finish the run in --out: reuse the stages that are done")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Print the resolved recipe and what would be written; do nothing")]
Json = Annotated[bool, typer.Option("--json", help="Print the record instead of the table")]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Of everything drawn at random (default: 0)")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but the result")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show tracebacks")]


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
    model: Model = "demo",
    weights: Weights = None,
    data: Data = None,
    calib: Calib = None,
    calib_images: CalibImages = None,
    ptq: Ptq = None,
    export: Export = None,
    runtime: Runtime = None,
    threads: Threads = None,
    batch: Batch = None,
    workers: Workers = None,
    seed: Seed = None,
    recipe: File = None,
    out: Out = None,
    resume: Resume = False,
    dry_run: Dry = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compress a trained backbone, export it, and measure it beside the untouched one."""
    _run(context)


@app.command("export")
def export_(
    context: typer.Context,
    model: Model,
    weights: Weights = None,
    data: Data = None,
    export: Export = None,
    runtime: Runtime = None,
    threads: Threads = None,
    batch: Batch = None,
    workers: Workers = None,
    seed: Seed = None,
    recipe: File = None,
    out: Out = None,
    resume: Resume = False,
    dry_run: Dry = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Export a backbone as it is, and verify and measure what was written."""
    _run(context, defaults={"data": "none"}, fixed={"ptq": "off"})


@app.command()
def profile(
    context: typer.Context,
    artifacts: Annotated[
        list[Path],
        typer.Argument(metavar="ARTIFACT...", help="Exported files; the first is what the others are held against"),
    ],
    threads: Threads = None,
    batch: Batch = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure artifacts on this machine, interleaved."""
    from . import profiling
    from .bench import Bench
    from .runtimes import machine

    bench = Bench(threads or machine.cores(), batch or 1)
    record = profiling.profile(artifacts, bench, progress=_progress(context), command=_command())
    _show(record, as_json=json)


@app.command()
def models(
    pattern: Annotated[str, typer.Argument(metavar="[PATTERN]", help="A name with * and ?")] = "*",
    verbose: Verbose = False,
) -> None:
    """List the names that MODEL may be."""
    from .models import names

    found = names(pattern)
    if not found:
        raise UserError(f"no model is called {pattern!r}; use * and ?, as in 'deit*'")
    typer.echo("\n".join(found))


@app.command()
def doctor(verbose: Verbose = False) -> None:
    """Say what this machine offers: instruction sets, engines, versions."""
    from .runtimes import doctor

    table = Table("", "found", "what to do", box=None)
    for finding in doctor.findings():
        table.add_row(finding.what, finding.found, finding.mend)
    Console().print(table)


def _run(context: typer.Context, defaults: Words = _NO_WORDS, fixed: Words = _NO_WORDS) -> None:
    """Resolve the recipe from file and flags, and run it or say what it would do."""
    from . import pipeline, recipe

    given = context.params
    words = {name: given.get(name) for name in recipe.WORDS}
    lists = {name: tuple(given[name].split(",")) for name in ("export", "runtime") if given[name]}
    resolved = recipe.resolve(given["recipe"], {**words, **lists, **fixed}, defaults)
    out = given["out"] or _new_folder(resolved)
    if given["dry_run"]:
        files = "\n".join(f"# {path}" for path in pipeline.plan(resolved, out))
        typer.echo(f"{resolved.to_toml()}\n# would write\n{files}")
        return
    outcome = pipeline.run(pipeline.Request(resolved, out, given["resume"], _command()), _progress(context))
    _show(outcome.record, as_json=given["json"])
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


def _progress(context: typer.Context) -> "Progress":
    from .progress import Progress

    return Progress(Console(stderr=True, quiet=context.params["quiet"]))


def _show(record: "Record", *, as_json: bool) -> None:
    """The record itself, or the one final table."""
    from .reports import record as records
    from .reports import table

    if as_json:
        typer.echo(records.to_json(record), nl=False)
    else:
        Console().print(table.terminal(record))


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
        line, code = _explain(problem)
    if line:
        typer.echo(f"vitc: {line}", err=True)
    sys.exit(code)


def _explain(problem: VitcError | OSError | TyperException) -> tuple[str, int]:
    """One line for a problem, and its exit code."""
    match problem:
        case VitcError():
            return " ".join(str(problem).split()), problem.exit_code
        case TyperException():
            return f"{problem.format_message()} See 'vitc --help'.", UserError.exit_code
        case _:
            what = f"{problem.filename}: {problem.strerror}" if problem.filename else str(problem)
            full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
            mend = "make room, then add --resume to go on" if full else "check the path and its permissions"
            return f"{what}; {mend}", UserError.exit_code
