"""What commands print: a record, findings, a table, progress; and one line for whatever goes wrong."""

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table
from typer.exceptions import TyperException

from .errors import UserError, VerificationFailed, VitcError

if TYPE_CHECKING:
    from .export.preflight import Finding
    from .progress import Progress
    from .reports.record import Record


def progress(context: typer.Context) -> "Progress":
    """What a command tells on the way, unless it was asked to be quiet."""
    from .progress import Progress

    return Progress(Console(stderr=True, quiet=context.params["quiet"]))


def show_findings(findings: "Mapping[str, Sequence[Finding]]") -> None:
    """One line a finding; what cannot work fails the command."""
    for target, found in findings.items():
        for finding in found:
            typer.echo(f"{target}: {'cannot work' if finding.fatal else 'note'}: {finding}")
        if not found:
            typer.echo(f"{target}: nothing in the way")
    broken = [target for target, found in findings.items() if any(finding.fatal for finding in found)]
    if broken:
        raise VerificationFailed(f"{', '.join(broken)} cannot work; mend what is named above, or choose other targets")


def show(record: "Record", *, as_json: bool) -> None:
    """The record itself, or the one final table."""
    from .reports import record as records
    from .reports import table

    if as_json:
        typer.echo(records.to_json(record), nl=False)
    else:
        Console().print(table.terminal(record))


def summarize(report: Path) -> None:
    """Show a report on the page of the build that runs this, where there is one (GitHub's)."""
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(report.read_text(encoding="utf-8"))


def print_table(table: Table) -> None:
    """A table as wide as the terminal allows."""
    Console().print(table)


def explain(problem: VitcError | OSError | TyperException) -> tuple[str, int]:
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
