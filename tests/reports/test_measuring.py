"""How something was measured, and what could not be, stands in all reports of a record, and never breaks the others."""

import re
from dataclasses import replace

from rich.console import Console

from vitc.reports import measuring, table
from vitc.reports.page import Run, page
from vitc.reports.record import Latency, Record, Throughput, from_json, to_json

HOSTILE = "ended by <script>|\x1b[2J"


def measured(record: Record) -> Record:
    """The float artifact came to its end; the int8 one was measured, and not told apart."""
    float_one, int8_one = record.measurements
    assert int8_one.speedup
    times = Latency(7.616, 8, 9, 7.7, 300, p50_ci95=(7.5, 7.7), lives=8, stability_pct=97.5, interrupted_pct=1.2)
    found = replace(
        int8_one,
        latency_ms=times,
        over_idle_mb=64.2,
        load_ms=88.4,
        first_ms=11.2,
        cores=(1,),
        speedup=replace(int8_one.speedup, inconclusive="too noisy"),
    )
    return replace(record, measurements=(replace(float_one, latency_ms=None, note=HOSTILE), found))


def terminal(record: Record) -> str:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(table.terminal(record))
        console.print(table.measured(record))
    return re.sub(r"\s+", " ", captured.get())


def test_what_was_measured_is_a_row(record: Record) -> None:
    assert measuring.rows(measured(record)) == [
        ("int8/onnx", "onnxruntime", "1", "88", "11", "64", "7.50 to 7.70", "98", "1", "8")
    ]
    assert measuring.rows(record) == [], "records from before have nothing of it"


def test_what_was_not_measured_and_what_was_not_told_is_a_line(record: Record) -> None:
    assert measuring.doubts(measured(record)) == [
        f"fp32/onnx on onnxruntime (1 thread, batch 1): not measured: {HOSTILE}",
        "int8/onnx on onnxruntime (1 thread, batch 1): inconclusive against fp32/onnx: too noisy",
    ]
    assert measuring.doubts(record) == []


def test_lives_whose_cores_shared_are_told_of(record: Record) -> None:
    _, one = measured(record).measurements
    without = replace(record, measurements=(replace(one, speedup=None, crowded_lives=5),))
    assert measuring.doubts(without) == [
        "int8/onnx on onnxruntime (1 thread, batch 1): its cores did not work side by side in 5 of the lives"
    ]
    (row,) = measuring.rows(replace(record, measurements=(replace(one, left_out_lives=3),)))
    assert row[-1] == "8 (3 left out)"


def test_all_reports_say_it_and_keep_the_other_rows(record: Record) -> None:
    found = measured(record)
    texts = [terminal(found), table.markdown(found), table.csv({"run": found}), page([Run("run", found)])]
    for text in texts:
        assert "ended by" in text
        assert "inconclusive" in text
        assert "7.62" in text
        assert "\x1b" not in text
        assert text is texts[2] or ("88" in text and "7.50 to" in text)
    assert "<script>|" not in texts[3]
    assert "ended by \\<script\\>" in texts[1]


def test_streams_are_told_in_images_a_second(record: Record) -> None:
    one = replace(record.measurements[1], latency_ms=None, throughput=Throughput(412.34, (400.0, 420.0), 4))
    assert measuring.setting(one) == "4 streams, 1 thread, batch 1"
    assert "412.3 images/s" in table.markdown(replace(record, measurements=(one,)))


def test_the_record_keeps_all_of_it(record: Record) -> None:
    found = measured(record)
    assert from_json(to_json(found), "record") == found
