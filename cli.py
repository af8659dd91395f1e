"""The command line: parse, call one function, print. Heavy libraries are imported when a command needs them."""

import errno
import importlib.metadata
import shlex
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from typer.exceptions import TyperException

from . import flags
from .errors import UserError, VerificationFailed, VitcError

if TYPE_CHECKING:
    from .export.preflight import Finding
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
    ptq: flags.Ptq = None,
    effort: flags.Effort = None,
    equalize: flags.Equalize = None,
    ranges: flags.Ranges = None,
    rounding: flags.Rounding = None,
    attention: flags.Attention = None,
    axiswise: flags.Axiswise = None,
    exclude: flags.Exclude = None,
    export: flags.Export = None,
    runtime: flags.Runtime = None,
    threads: flags.Threads = None,
    batch: flags.Batch = None,
    static: flags.Static = None,
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
    batch: flags.Batch = None,
    json: flags.Json = False,
    quiet: flags.Quiet = False,
    verbose: flags.Verbose = False,
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
    verbose: flags.Verbose = False,
) -> None:
    """List the names that MODEL may be."""
    from .models import names

    found = names(pattern)
    if not found:
        raise UserError(f"no model is called {pattern!r}; use * and ?, as in 'deit*'")
    typer.echo("\n".join(found))


@app.command()
def doctor(verbose: flags.Verbose = False) -> None:
    """Say what this machine offers: instruction sets, engines, versions."""
    from .runtimes import doctor

    table = Table("", "found", "what to do", box=None)
    for finding in doctor.findings():
        table.add_row(finding.what, finding.found, finding.mend)
    Console().print(table)


def _run(context: typer.Context, defaults: Words = _NO_WORDS, fixed: Words = _NO_WORDS) -> None:
    """Resolve the recipe from file and flags, and run it or say what it would do."""
    from . import admission, pipeline, recipe

    given = context.params
    words = {name: given.get(name) for name in recipe.WORDS}
    lists = {
        name: tuple(given[name].split(",")) for name in ("export", "runtime", "equalize", "exclude") if given.get(name)
    }
    resolved = recipe.resolve(given["recipe"], {**words, **lists, **fixed}, defaults)
    out = given["out"] or _new_folder(resolved)
    if given["dry_run"]:
        files = "\n".join(f"# {path}" for path in pipeline.plan(resolved, out))
        typer.echo(f"{resolved.to_toml()}\n# would write\n{files}")
        return
    if given["check"]:
        _show_findings(admission.check(resolved))
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


def _show_findings(findings: "Mapping[str, Sequence[Finding]]") -> None:
    """One line a finding; what cannot work fails the command."""
    for target, found in findings.items():
        for finding in found:
            typer.echo(f"{target}: {'cannot work' if finding.fatal else 'note'}: {finding}")
        if not found:
            typer.echo(f"{target}: nothing in the way")
    broken = [target for target, found in findings.items() if any(finding.fatal for finding in found)]
    if broken:
        raise VerificationFailed(f"{', '.join(broken)} cannot work; mend what is named above, or choose other targets")


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
