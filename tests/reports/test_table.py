"""The tables show the record's numbers, and nothing that text inside it commands."""

from dataclasses import replace

import pytest
from rich.console import Console

from vitc.reports.record import Audit, Energy, Fallback, Measurement, Record
from vitc.reports.table import COLUMNS, MISSING, audits, markdown, rows, terminal

UNMEASURED = Measurement("fp32/onnx", "onnxruntime", 1, 1, None, None, None, Energy(None), None, None, 0)


def printed(record: Record, width: int = 200) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(terminal(record))
    return captured.get()


def test_a_row_holds_the_numbers_of_its_artifact(record: Record) -> None:
    float_row, int8_row = (dict(zip(COLUMNS, row, strict=True)) for row in rows(record))
    assert int8_row == {
        "artifact": "int8/onnx",
        "runtime": "onnxruntime",
        "size MB": "6.00",
        "top-1 %": "81.20 (drop 0.26)",
        "p50 ms": "7.62",
        "speed-up": "1.86x [1.84, 1.88]",
        "peak MB": "120",
        "parity %": "98.4",
        "MACs %": "int8 85, fp32 15 (kept 98)",
        "energy mJ": MISSING,
        "modelled mJ": "not modelled",
    }
    assert float_row["top-1 %"] == "81.46"
    assert float_row["speed-up"] == "baseline"
    assert float_row["peak MB"] == float_row["parity %"] == MISSING


def test_the_drop_is_against_the_same_runtime_and_target(record: Record) -> None:
    other = replace(record.measurements[0], runtime="openvino", top1=80.0)
    alone = replace(record, measurements=(other, record.measurements[1]))
    assert rows(alone)[1][3] == "81.20"


def test_an_artifact_that_nobody_measured_has_a_row_that_says_so(record: Record) -> None:
    row = rows(replace(record, measurements=()))[1]
    assert row == (
        "int8/onnx",
        MISSING,
        "6.00",
        MISSING,
        MISSING,
        MISSING,
        MISSING,
        "98.4",
        "int8 85, fp32 15 (kept 98)",
        MISSING,
        "not modelled",
    )


def test_threads_and_batch_are_in_the_row_only_where_they_differ(record: Record) -> None:
    assert rows(record)[1][1] == "onnxruntime"
    assert "1 thread, batch 1" in printed(record)
    two = replace(record, measurements=(record.measurements[0], replace(record.measurements[1], threads=2)))
    assert rows(two)[1][1] == "onnxruntime (2 threads, batch 1)"
    assert rows(two)[1][3] == "81.20"


def test_terminal_and_markdown_show_the_same_cells(record: Record) -> None:
    text, report = printed(record), markdown(record)
    for row in rows(record):
        assert all(cell in text for cell in (*row[:6], row[8]) if cell != MISSING)
        assert "| " + " | ".join(row).replace("[", r"\[").replace("]", r"\]") + " |" in report


def test_words_stay_whole_in_80_columns(record: Record) -> None:
    text = printed(record, width=80)
    assert all(
        word in text
        for row in rows(record)
        for cell in (*row[:6], row[8])
        for word in cell.split(" ")
        if cell != MISSING
    )


def test_the_report_holds_what_surrounds_the_numbers(record: Record) -> None:
    report = markdown(record)
    for fact in (
        "# demo",
        "1300 images of demo",
        "Calibrated on: nothing",
        "some cpu, 2 cores (avx2), Linux",
        "vitc 0.1.0, torch 2.10",
        "| quantize | 3.1 | 81.30 | 5.72 M | 1.258 G |",
        "int8/onnx: 85.1 % of the MACs run in int8, of what was promised 97.5 %",
        r"int8/onnx: not head: too \| small",
        "fp32/onnx: not built here",
        "best for onnx: int8/onnx (no other is as fast)",
        "    vitc compress demo\n",
    ):
        assert fact in report


@pytest.mark.parametrize(
    ("audit", "said"),
    [
        (Audit(0.0, 100.0, ()), "no MACs run in int8, and none were promised to"),
        (Audit(86.4, 100.0, ()), "86.4 % of the MACs run in int8, all that was promised to do so"),
        (Audit(0.0, 0.0, (Fallback("head", "why"),)), "0.0 % of the MACs run in int8, of what was promised 0.0 %"),
    ],
)
def test_what_runs_in_int8_is_said_beside_what_was_promised(record: Record, audit: Audit, said: str) -> None:
    artifact = replace(record.artifacts[0], name="x", audit=audit, note="")
    assert audits(replace(record, artifacts=(artifact,)))[0] == f"x: {said}"


def test_markup_and_control_characters_are_shown_not_obeyed(record: Record) -> None:
    name = "[red]x[/red] | <b>\x1b[31m\n# no heading"
    artifact = replace(record.artifacts[0], name=name)
    hostile = replace(
        record, artifacts=(artifact,), measurements=(), model=replace(record.model, name=name), command=name
    )
    shown, report = printed(hostile), markdown(hostile)
    assert "[red]x[/red] | <b>\N{REPLACEMENT CHARACTER}[31m" in shown
    assert r"\[red\]x\[/red\] \| \<b\>" in report
    assert "\x1b" not in shown + report
    assert "\n# no heading" not in report


def test_long_names_break_where_their_parts_meet(record: Record) -> None:
    artifacts = tuple(replace(one, name=f"int8-theirs/{one.name[:4]}openvino") for one in record.artifacts)
    text = printed(replace(record, artifacts=artifacts, measurements=()), width=80)
    assert "int8-theirs/" in text or "int8-" in text
    assert all(len(line) <= 80 for line in text.splitlines())
