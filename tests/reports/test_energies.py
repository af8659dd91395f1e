"""Measured is never mixed with modelled, and what was not measured says why."""

from dataclasses import replace

from vitc.reports import energies
from vitc.reports.page import Run, page
from vitc.reports.record import Energy, Modelled, Record, from_json, to_json
from vitc.reports.table import COLUMNS, csv, markdown, rows

COUNTED = Energy(12.34, "RAPL", gross=45.6, idle_w=9.87, uncertainty=0.56, inferences=1234)
MODEL = Modelled(1_258_000_000, 5.79, 3.66)
NO_SENSOR = Energy(None, reason="this machine has no sensor for its cpu")


def told(record: Record) -> Record:
    """The float artifact measured and modelled, the other neither, for a reason."""
    first, second = record.measurements
    float_one, int8_one = record.artifacts
    return replace(
        record,
        artifacts=(replace(float_one, modelled=MODEL), int8_one),
        measurements=(replace(first, energy_mj=COUNTED), replace(second, energy_mj=NO_SENSOR)),
    )


def test_cells_hold_what_was_measured_and_what_was_modelled_apart(record: Record) -> None:
    first, second = (dict(zip(COLUMNS, row, strict=True)) for row in rows(told(record)))
    assert (first["energy mJ"], first["modelled mJ"]) == ("12.3 ± 0.56", "5.79 + 3.66")
    assert (second["energy mJ"], second["modelled mJ"]) == ("not measured", "not modelled")


def test_lines_say_the_source_the_reason_and_that_a_model_is_one(record: Record) -> None:
    assert energies.lines(told(record)) == [
        "fp32/onnx on onnxruntime: 12.3 ± 0.56 mJ net, 45.6 mJ gross, 9.87 W at rest; counted by RAPL over 1234 calls",
        "not measured, this machine has no sensor for its cpu: int8/onnx on onnxruntime",
        "fp32/onnx, a model: 1.258 G operations (BOPs / 64 + FLOPs), 5.79 mJ of arithmetic and 3.66 mJ of memory",
    ]
    assert energies.lines(record) == []
    nowhere = replace(record, measurements=tuple(replace(one, energy_mj=NO_SENSOR) for one in record.measurements))
    assert energies.lines(nowhere) == ["not measured, this machine has no sensor for its cpu"]


def test_report_page_and_csv_show_them(record: Record) -> None:
    shown = told(record)
    report = markdown(shown)
    for text in (report, page([Run("run", shown)])):
        assert "12.3 ± 0.56" in text
        assert "5.79 + 3.66" in text
        assert "Energy, measured and modelled" in text
    assert "12.3 ± 0.56,5.79 + 3.66" in csv({"run": shown})
    assert "Energy, measured and modelled" not in markdown(record)


def test_a_record_keeps_them_and_one_from_before_still_loads(record: Record) -> None:
    shown = told(record)
    assert from_json(to_json(shown), "record.json").measurements[1].energy_mj == NO_SENSOR
    assert from_json(to_json(shown), "record.json").artifacts[0].modelled == MODEL
    assert '"modelled"' not in to_json(record)
    assert '"gross"' not in to_json(record)
