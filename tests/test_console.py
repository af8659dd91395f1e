"""One line for a failure, with its exit code; findings that stop."""

import errno
from pathlib import Path

import pytest
from rich.table import Table
from typer import BadParameter

from vitc import console
from vitc.errors import NotAvailable, UserError, VerificationFailed
from vitc.export.preflight import Finding


@pytest.mark.parametrize(
    ("problem", "line", "code"),
    [
        (UserError("two\n lines"), "two lines", 2),
        (VerificationFailed("broken"), "broken", 1),
        (NotAvailable("missing"), "missing", 3),
        (BadParameter("wrong"), "wrong See 'vitc --help'.", 2),
        (PermissionError(errno.EACCES, "Permission denied", "a.txt"), "a.txt: Permission denied; check the path", 2),
        (OSError(errno.ENOSPC, "No space left", "a.txt"), "a.txt: No space left; make room, then add --resume", 2),
    ],
)
def test_a_failure_is_one_line_and_a_code(problem: UserError | OSError, line: str, code: int) -> None:
    said, answered = console.explain(problem)
    assert line in said
    assert "\n" not in said
    assert answered == code


def test_what_cannot_work_fails_and_a_note_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    note = Finding("rule", "layer", "is slow", "leave it", fatal=False)
    console.show_findings({"onnx": [], "coreml": [note]})
    assert capsys.readouterr().out == f"onnx: nothing in the way\ncoreml: note: {note}\n"
    with pytest.raises(VerificationFailed, match="coreml cannot work"):
        console.show_findings({"coreml": [Finding("rule", "layer", "is there", "take it out", fatal=True)]})


def test_a_report_joins_what_a_build_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report, summary = tmp_path / "report.md", tmp_path / "summary.md"
    report.write_text("# run\n", encoding="utf-8")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    console.summarize(report)
    assert not summary.exists()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    for _ in range(2):
        console.summarize(report)
    assert summary.read_text("utf-8") == "# run\n# run\n"


def test_a_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("name")
    table.add_row("value")
    console.print_table(table)
    assert "value" in capsys.readouterr().out
